rhumb = 1
name  = "x"
model "m" { source = "acme/one-7b" }
batch "b" {
  model        = "m"
  labels       = { team = "ads" }
  items        = 5
  input_tokens = 9
  deadline     = "1h"
}
budget {
  by_label = { team = { adz = "5 USD" } }
}
