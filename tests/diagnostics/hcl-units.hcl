rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

service "s" {
  model = "m"
  traffic {
    peak         = 12
    input_tokens = 100
  }
  slo { ttft = { p95 = "1 second" } }
}
