//! Where a remote state is, as an address: `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `gs://BUCKET/PREFIX`.

use std::collections::BTreeMap;
use std::fmt;

use super::requests::Remote;
use crate::state::StoreError;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// Amazon S3, and what speaks its protocol and puts under conditions.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Gcs,
}

/// A place for a state in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind of store.
    pub backend: Backend,
    /// The bucket or container.
    pub bucket: String,
    /// What the keys of all objects begin with, without a slash at either end; it may be empty.
    pub prefix: String,
}

/// The schemes of addresses.
const SCHEMES: &str = "s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX";

impl Backend {
    const ALL: [Backend; 3] = [Backend::S3, Backend::Azure, Backend::Gcs];

    const fn scheme(self) -> &'static str {
        match self {
            Backend::S3 => "s3",
            Backend::Azure => "az",
            Backend::Gcs => "gs",
        }
    }

    /// Options besides the credentials, which come from the environment alone.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Backend::S3 => &["endpoint", "region"],
            Backend::Azure => &["account", "endpoint"],
            Backend::Gcs => &["endpoint"],
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.backend.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl Place {
    /// Whether this is meant as the address of a remote store, rather than as a path.
    pub fn is_meant(address: &str) -> bool {
        address.contains("://")
    }

    /// The place of an address.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead. The address is not repeated: it may hold what nobody is to see.
    pub fn parse(address: &str) -> Result<Self, String> {
        let no_scheme = || format!("it is no address of a remote state: write {SCHEMES}");
        let (scheme, rest) = address.split_once("://").ok_or_else(no_scheme)?;
        let backend = Backend::ALL.into_iter().find(|b| b.scheme() == scheme).ok_or_else(no_scheme)?;
        if rest.contains('@') {
            return Err("an address has no credentials: they are read from the environment".to_owned());
        }
        if rest.contains(['?', '#']) {
            return Err(format!("an address has no `?` and no `#`: write {SCHEMES}"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let in_bucket =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(in_bucket) {
            return Err(format!(
                "a bucket has a name of lower-case letters, digits, `-`, `.` and `_`: write {SCHEMES}"
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        let in_prefix = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '=' | '+');
        let sound = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(in_prefix);
        if !prefix.is_empty() && !prefix.split('/').all(sound) {
            return Err("a prefix has names of letters, digits, `-`, `.`, `_`, `=` and `+` between slashes"
                .to_owned());
        }
        if prefix.len() > 512 {
            return Err("a prefix has 512 characters at most".to_owned());
        }
        Ok(Place { backend, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The store there. Nothing is asked of it yet. Credentials are read from the environment, by the names that the cloud's own tools
    /// use; options say the rest: `endpoint` and `region` for S3, `account` and `endpoint` for Azure, `endpoint` for Google.
    ///
    /// # Errors
    /// An option that the backend does not have, credentials that cannot be read, or a backend that this build is without.
    pub fn connect(&self, options: &BTreeMap<String, String>) -> Result<Remote, StoreError> {
        let known = self.backend.options();
        if let Some(other) = options.keys().find(|key| !known.contains(&key.as_str())) {
            let reason = format!("it has no option `{other}`, but {}", known.join(" and "));
            return Err(self.error(reason, "leave the option out"));
        }
        let made = match self.backend {
            Backend::S3 => clouds::s3(self, options),
            Backend::Azure => clouds::azure(self, options),
            Backend::Gcs => clouds::gcs(self, options),
        };
        let help = match self.backend {
            Backend::Azure => {
                "set AZURE_STORAGE_ACCOUNT_NAME, or `account` in `state`, and look at the options and the build"
            }
            Backend::S3 | Backend::Gcs => "check the environment, the options and the build",
        };
        let objects = made.map_err(|t| self.error(t.reason, help))?;
        Ok(Remote::new(objects, &self.prefix, &self.to_string()))
    }

    fn error(&self, reason: String, help: &'static str) -> StoreError {
        StoreError::Remote { name: self.to_string(), what: "connect to it", reason, help }
    }
}

/// The backends, as far as this build has them.
mod clouds {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::objects::{Objects, Trouble};
    use super::Place;
    #[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
    use super::parts::{bucket, plain, retry, tls};

    type Made = Result<Arc<dyn Objects>, Trouble>;

    #[cfg(not(all(feature = "s3", feature = "azure", feature = "gcs")))]
    fn missing(feature: &str) -> Made {
        let reason = format!("this rhumb was built without the feature `{feature}`");
        Err(Trouble { reason, kind: super::super::objects::TroubleKind::Other })
    }

    #[cfg(not(feature = "s3"))]
    pub(super) fn s3(_: &Place, _: &BTreeMap<String, String>) -> Made {
        missing("s3")
    }

    #[cfg(feature = "s3")]
    pub(super) fn s3(place: &Place, options: &BTreeMap<String, String>) -> Made {
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
        tls();
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&place.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry());
        if let Some(endpoint) = options.get("endpoint") {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = options.get("region") {
            builder = builder.with_region(region);
        }
        if plain(builder.get_config_value(&AmazonS3ConfigKey::Endpoint).as_deref()) {
            builder = builder.with_allow_http(true);
        }
        bucket(builder.build())
    }

    #[cfg(not(feature = "azure"))]
    pub(super) fn azure(_: &Place, _: &BTreeMap<String, String>) -> Made {
        missing("azure")
    }

    #[cfg(feature = "azure")]
    pub(super) fn azure(place: &Place, options: &BTreeMap<String, String>) -> Made {
        use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
        tls();
        let mut builder =
            MicrosoftAzureBuilder::from_env().with_container_name(&place.bucket).with_retry(retry());
        if let Some(account) = options.get("account") {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = options.get("endpoint") {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if plain(builder.get_config_value(&AzureConfigKey::Endpoint).as_deref()) {
            builder = builder.with_allow_http(true);
        }
        bucket(builder.build())
    }

    #[cfg(not(feature = "gcs"))]
    pub(super) fn gcs(_: &Place, _: &BTreeMap<String, String>) -> Made {
        missing("gcs")
    }

    #[cfg(feature = "gcs")]
    pub(super) fn gcs(place: &Place, options: &BTreeMap<String, String>) -> Made {
        use object_store::ClientConfigKey;
        use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
        tls();
        let mut builder =
            GoogleCloudStorageBuilder::from_env().with_bucket_name(&place.bucket).with_retry(retry());
        if let Some(endpoint) = options.get("endpoint") {
            builder = builder.with_base_url(endpoint);
        }
        if plain(builder.get_config_value(&GoogleConfigKey::BaseUrl).as_deref()) {
            builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
        }
        bucket(builder.build())
    }
}

/// What the backends have in common.
#[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
mod parts {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::{BackoffConfig, ObjectStore, RetryConfig};

    use super::super::bucket::{Bucket, trouble};
    use super::super::objects::{Objects, Trouble};

    /// Few tries: those around them know what a repeated put means.
    pub(super) fn retry() -> RetryConfig {
        let backoff = BackoffConfig::default();
        RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(10) }
    }

    pub(super) fn bucket(store: object_store::Result<impl ObjectStore>) -> Result<Arc<dyn Objects>, Trouble> {
        let store = store.map_err(|e| trouble(&e))?;
        Ok(Arc::new(Bucket(Arc::new(store))))
    }

    /// Once in a process; another one that was chosen before stays.
    pub(super) fn tls() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    /// Whoever names such an endpoint means it: an emulator, or a proxy on the same machine.
    pub(super) fn plain(endpoint: Option<&str>) -> bool {
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }
}
