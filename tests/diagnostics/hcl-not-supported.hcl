rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

service "s" {
  model = "m"
  traffic {
    peak         = "1 req/s"
    input_tokens = 100
  }
  slo { ttft = { p95 = "1s" } }
  scaling { scale_to_zero_after = "5m" }
  rollout { strategy = "rolling" }
}

policies = []
