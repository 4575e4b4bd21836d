rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

service "s" {
  model = "m"
  traffic {
    peak         = "%{ if true }1%{ else }2%{ endif } req/s"
    input_tokens = 100
  }
  slo { ttft = { p95 = "1s" } }
}
