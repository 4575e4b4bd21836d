//! A state in a bucket.

use std::collections::BTreeMap;

/// `state` of another backend than `local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteState {
    /// Scheme, bucket and key: `s3://BUCKET/KEY`, `az://CONTAINER/KEY` or `gs://BUCKET/KEY`.
    pub address: String,
    /// `region`, `account`, `endpoint`, as far as they are stated.
    pub options: BTreeMap<String, String>,
}
