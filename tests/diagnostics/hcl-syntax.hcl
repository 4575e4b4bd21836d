rhumb = 1
name  = "x"

model "m" { source = "acme/one-7b" }

service "s" {
  model "m"
}
