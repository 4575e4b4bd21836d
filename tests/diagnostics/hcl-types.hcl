rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

service "s" {
  model = "m"
  traffic {
    peak         = 1 / 0
    input_tokens = "a" + 1
  }
  slo { ttft = { p95 = "1s" } }
}
