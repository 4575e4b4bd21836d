//! Stable names of what a plan wants to exist.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The address of a resource: slash-separated segments from the workload down to the part,
/// for example `services.chat/aws/eu-west-1/p5.48xlarge/spot` or
/// `services.chat/aws/eu-west-1/network`.
///
/// An address depends on what was chosen, never on counts or prices, so that a changed count is an
/// update of the same resource and a changed instance type is another resource. Copies share their text: a deployment names each of its
/// addresses many times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceAddr(Arc<str>);

/// Why a text is not a resource address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a resource address: {reason}")]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl ResourceAddr {
    /// Parses and checks an address.
    ///
    /// # Errors
    /// A segment is empty or holds a control character, white space or one of `"'\`.
    pub fn parse(text: impl Into<String>) -> Result<Self, AddressError> {
        let text = text.into();
        let reason = if text.is_empty() || text.split('/').any(str::is_empty) {
            Some("a segment is empty")
        } else if text.chars().any(|c| c.is_control() || c.is_whitespace() || "\"'\\`".contains(c)) {
            Some("it holds white space, quotes, a backslash or a control character")
        } else {
            None
        };
        match reason {
            Some(reason) => Err(AddressError { text, reason }),
            None => Ok(ResourceAddr(text.into())),
        }
    }

    /// The address of the part `segment` below this one; characters that an address may not hold
    /// become `-`.
    #[must_use]
    pub fn child(&self, segment: &str) -> Self {
        let clean: String = segment
            .chars()
            .map(|c| if c.is_control() || c.is_whitespace() || "\"'\\`/".contains(c) { '-' } else { c })
            .collect();
        ResourceAddr(format!("{}/{}", self.0, if clean.is_empty() { "-" } else { &clean }).into())
    }

    /// The first segment: the workload that the resource belongs to.
    pub fn workload(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The address of what this is a part of; `None` of a workload.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(above, _)| ResourceAddr(above.into()))
    }

    /// The address that begins with `to` where this one begins with `from`; `None` if it neither is `from` nor below it.
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let below = self.0.strip_prefix(from.as_str())?;
        (below.is_empty() || below.starts_with('/')).then(|| ResourceAddr(format!("{to}{below}").into()))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ResourceAddr {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        ResourceAddr::parse(text)
    }
}

impl From<ResourceAddr> for String {
    fn from(addr: ResourceAddr) -> String {
        addr.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_extend_and_bad_addresses_are_refused() {
        let addr = ResourceAddr::parse("services.chat").unwrap().child("aws").child("p5 48/x");
        assert_eq!(addr.as_str(), "services.chat/aws/p5-48-x");
        assert_eq!(addr.workload(), "services.chat");
        assert_eq!(addr.parent().unwrap().as_str(), "services.chat/aws");
        assert_eq!(ResourceAddr::parse("services.chat").unwrap().parent(), None);
        let (chat, desk) =
            (ResourceAddr::parse("services.chat").unwrap(), ResourceAddr::parse("services.desk").unwrap());
        assert_eq!(addr.moved(&chat, &desk).unwrap().as_str(), "services.desk/aws/p5-48-x");
        assert_eq!(chat.moved(&chat, &desk), Some(desk.clone()));
        assert_eq!(ResourceAddr::parse("services.chatter/aws").unwrap().moved(&chat, &desk), None);
        for bad in ["", "/", "a//b", "a b", "a/\n"] {
            assert!(ResourceAddr::parse(bad).is_err(), "{bad:?}");
        }
    }
}
