//! Buckets of clouds, through `object_store`.

use std::error::Error as _;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};

use super::objects::{Doing, Listed, Object, Objects, Only, Tag, Trouble, TroubleKind};
use crate::state::disk::MAX_BYTES;

/// Characters of a reason that are shown.
const SHOWN: usize = 300;

/// What a text has that is about credentials; what it quotes may be of them.
const CREDENTIALS: [&str; 9] = [
    "credential",
    "service account",
    "service_account",
    "access key",
    "account key",
    "sas key",
    "token",
    "169.254.169.254",
    "metadata.google.internal",
];

/// A bucket.
pub(super) struct Bucket(pub(super) Arc<dyn ObjectStore>);

impl Objects for Bucket {
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Object>> {
        Box::pin(async move {
            let got = match self.0.get_opts(&path(key)?, GetOptions::default()).await {
                Err(e @ Error::NotFound { .. }) => {
                    return if no_bucket(&e) { Err(trouble(&e)) } else { Ok(None) };
                }
                got => got.map_err(|e| trouble(&e))?,
            };
            if got.meta.size > MAX_BYTES {
                let reason = format!("it is larger than {} MiB", MAX_BYTES / 1024 / 1024);
                return Err(Trouble { reason, kind: TroubleKind::Other });
            }
            let tag = Tag { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            let at = time(&got.meta);
            let bytes = got.bytes().await.map_err(|e| trouble(&e))?.to_vec();
            Ok(Some(Object { bytes, tag, at }))
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> Doing<'a, Option<Tag>> {
        Box::pin(async move {
            let mode = match only {
                Only::Absent => PutMode::Create,
                Only::Always => PutMode::Overwrite,
                Only::Unchanged(Tag { e_tag, version }) => PutMode::Update(UpdateVersion { e_tag, version }),
            };
            match self.0.put_opts(&path(key)?, bytes.into(), PutOptions::from(mode)).await {
                Ok(put) => Ok(Some(Tag { e_tag: put.e_tag, version: put.version })),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(None),
                Err(e) => Err(trouble(&e)),
            }
        })
    }

    fn list<'a>(&'a self, under: &'a str) -> Doing<'a, Vec<Listed>> {
        Box::pin(async move {
            let listed = self.0.list_with_delimiter(Some(&path(under)?)).await.map_err(|e| trouble(&e))?;
            let of =
                |meta: ObjectMeta| Listed { at: time(&meta), size: meta.size, key: meta.location.into() };
            Ok(listed.objects.into_iter().map(of).collect())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            match self.0.delete(&path(key)?).await {
                Err(e @ Error::NotFound { .. }) if !no_bucket(&e) => Ok(()),
                deleted => deleted.map_err(|e| trouble(&e)),
            }
        })
    }
}

fn path(key: &str) -> Result<Path, Trouble> {
    Path::parse(key).map_err(|e| Trouble { reason: clean(&e.to_string()), kind: TroubleKind::Other })
}

fn time(meta: &ObjectMeta) -> i64 {
    meta.last_modified.timestamp_millis()
}

/// What S3 says of a request that is dated more than a quarter of an hour from its own clock
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
const SKEWED: [&str; 1] = ["RequestTimeTooSkewed"];

/// Whether what is not found is the bucket.
fn no_bucket(error: &Error) -> bool {
    let text = error.to_string();
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"].iter().any(|known| text.contains(known))
}

/// Why a request failed, without what may let others make one: the text of an error has the address, which may be signed, and the whole
/// answer, which may quote what was signed.
pub(super) fn trouble(error: &Error) -> Trouble {
    let text = error.to_string();
    let status: Option<u16> =
        between(&text, "status code: ", ":").and_then(|s| s.split_whitespace().next()?.parse().ok());
    let lower = text.to_lowercase();
    let unknown = status.is_none() && CREDENTIALS.iter().any(|known| lower.contains(known));
    let kind = match (error, status) {
        _ if no_bucket(error) => TroubleKind::NoBucket,
        _ if SKEWED.iter().any(|known| text.contains(known)) => TroubleKind::Clock,
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) | (_, Some(401 | 403)) => {
            TroubleKind::Denied
        }
        _ if unknown => TroubleKind::Denied,
        // Of a put or a list: there is nothing else to be found.
        (Error::NotFound { .. }, _) => TroubleKind::NoBucket,
        (Error::Generic { .. } | Error::JoinError { .. }, Some(408 | 409 | 429 | 500..)) => {
            TroubleKind::Unreachable
        }
        (Error::Generic { .. } | Error::JoinError { .. }, None) if !text.contains("redirect") => {
            TroubleKind::Unreachable
        }
        _ => TroubleKind::Other,
    };
    let said = match (between(&text, "<Code>", "</Code>"), between(&text, "<Message>", "</Message>"), status)
    {
        (Some(code), Some(message), _) => format!("{code}: {message}"),
        (Some(code), None, _) => code.to_owned(),
        (None, _, Some(status)) => format!("it answers with status {status}"),
        (None, _, None) if unknown => "credentials were not found or cannot be read".to_owned(),
        (None, _, None) => innermost(error),
    };
    Trouble { reason: clean(&said), kind }
}

fn innermost(error: &Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(source) = next {
        (text, next) = (source.to_string(), source.source());
    }
    text
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// A short text in one line, whose addresses have neither a user nor a query.
fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let word = word.split_once('?').map_or(word, |(before, _)| before);
        match (word.split_once("://"), word.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use object_store::Error;

    use super::{TroubleKind, clean, trouble};

    fn of(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_is_signed_is_never_said() {
        let text = "Error performing PUT https://a:b@host/c/k?sig=SECRET&X-Amz-Signature=SECRET in 1s - Server returned non-2xx status \
                    code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>The signature differs</Message>\
                    <AWSAccessKeyId>SECRET</AWSAccessKeyId><StringToSign>SECRET</StringToSign></Error>";
        let said = trouble(&of(text));
        assert_eq!(said.reason, "SignatureDoesNotMatch: The signature differs");
        assert_eq!(said.kind, TroubleKind::Denied);
        assert_eq!(
            clean("to https://a:SECRET@host/k?sig=SECRET failed\n\u{1b}[2J"),
            "to https://host/k failed [2J"
        );
        let bare = trouble(&of("GET https://a:SECRET@host/k?sig=SECRET: connection refused"));
        assert!(!bare.reason.contains("SECRET"), "{}", bare.reason);
        let key = trouble(&of("Unable to decode service account file: invalid type: string \"SECRET\""));
        assert_eq!(
            (key.reason.as_str(), key.kind),
            ("credentials were not found or cannot be read", TroubleKind::Denied)
        );
        let answer = trouble(&of("Server returned non-2xx status code: 400 Bad Request: SECRET"));
        assert_eq!((answer.reason.as_str(), answer.kind), ("it answers with status 400", TroubleKind::Other));
    }

    #[test]
    fn kinds_are_told_apart() {
        let status = |n: u16, body: &str| {
            trouble(&of(&format!("Server returned non-2xx status code: {n} X: {body}"))).kind
        };
        assert_eq!(status(404, "<Code>NoSuchBucket</Code>"), TroubleKind::NoBucket);
        assert_eq!(status(404, "<Code>ContainerNotFound</Code>"), TroubleKind::NoBucket);
        for later in [408, 429, 500, 503] {
            assert_eq!(status(later, ""), TroubleKind::Unreachable);
        }
        assert_eq!(status(403, "<Code>RequestTimeTooSkewed</Code>"), TroubleKind::Clock);
        assert_eq!(status(401, ""), TroubleKind::Denied);
        assert_eq!(status(416, ""), TroubleKind::Other);
        assert_eq!(trouble(&of("Received redirect without LOCATION, this")).kind, TroubleKind::Other);
        assert_eq!(trouble(&of("tcp connect error")).kind, TroubleKind::Unreachable);
        assert_eq!(trouble(&of("Error getting credentials from metadata")).kind, TroubleKind::Denied);
    }
}
