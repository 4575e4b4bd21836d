rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

variable "peak" { default = 3 }

service "s" {
  model = "m"
  traffic {
    peak         = "${var.peek} req/s"
    input_tokens = locals.x
  }
  slo { ttft = { p95 = "1s" } }
}
