//! Standard output and standard error, whose readers may leave early.

use std::io::Write;

use super::Failure;

/// Prints on standard output; a reader that has seen enough (`rhumb schema | head`) is no error.
///
/// # Errors
/// Standard output cannot be written, a full disk for example.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::error(format!("standard output cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

/// Prints on standard error; there is nowhere to tell that it failed.
pub fn print_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
