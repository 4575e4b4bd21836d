//! The command `rhumb`.

#[allow(clippy::disallowed_methods)]
fn main() {
    std::process::exit(rhumb::cli::run(std::env::args_os()));
}
