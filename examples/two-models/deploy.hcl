# A small and a large assistant of two teams share one budget, and neither team may take more of it
# than its part. Change the peak without editing the file: rhumb plan examples/two-models --var peak=20
rhumb = 1
name  = "two-models"

variable "peak" {
  type        = "number"
  default     = 8
  description = "requests per second of the small assistant in the busiest hour"
}

locals {
  large_peak = var.peak / 4
}

defaults {
  placement { residency = ["us"] }
}

model "small" {
  source = "meta-llama/Llama-3.1-8B-Instruct"
}

model "large" {
  source = "meta-llama/Llama-3.3-70B-Instruct"
  variant "bf16" { quantization = "bf16" }
  variant "fp8"  { quantization = "fp8" }
}

service "triage" {
  model  = "small"
  labels = { team = "support" }
  traffic {
    peak          = "${var.peak} req/s"
    input_tokens  = { p50 = 400, p95 = 1500 }
    output_tokens = { p50 = 60, p95 = 200 }
  }
  slo {
    ttft = { p95 = "600ms" }
    tpot = { p95 = "50ms" }
  }
  survive { machine = 1 }
}

service "expert" {
  model  = "large"
  labels = { team = "legal" }
  traffic {
    peak          = "${local.large_peak} req/s"
    input_tokens  = { p50 = 1200, p95 = 6000 }
    output_tokens = { p50 = 400, p95 = 1200 }
  }
  slo {
    ttft = { p95 = "3s" }
    tpot = { p95 = "76ms" }
  }
}

budget {
  monthly = "60000 USD"
  by_label = {
    team = { legal = "50000 USD", support = "9000 USD" }
  }
  binds = "ceiling"
}
