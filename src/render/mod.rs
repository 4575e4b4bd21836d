//! The files that machines get: the engine's start script and its environment, hashed.

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Address of the launch template that carries it.
    pub addr: rhumb_api::ResourceAddr,
    /// File name on the machine.
    pub name: String,
    /// Its text.
    pub content: String,
    /// SHA-256 of the text, lower-case hexadecimal.
    pub sha256: String,
}
