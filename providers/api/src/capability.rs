//! What the adapters of a build can apply, and what can only be exported.

use crate::{Cloud, ResourceKind};

/// Whether a build can make a resource itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// An adapter of this build creates, updates and removes it.
    Apply,
    /// No adapter in this build makes it; it can be exported for another tool.
    ExportOnly,
}

/// One row of the capability table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterCapability {
    /// The cloud.
    pub cloud: Cloud,
    /// The kind of resource.
    pub kind: ResourceKind,
    /// What this build can do with it.
    pub support: Support,
}

/// The capability table of this build: a row per cloud and resource kind.
///
/// `adapters` names the clouds whose adapters are compiled in. None is yet, so every row reads
/// [`Support::ExportOnly`] and a plan says so.
pub fn capabilities(adapters: &[Cloud]) -> Vec<AdapterCapability> {
    let mut table = Vec::new();
    for cloud in Cloud::ALL {
        for kind in ResourceKind::ALL {
            let support = if adapters.contains(&cloud) { Support::Apply } else { Support::ExportOnly };
            table.push(AdapterCapability { cloud, kind, support });
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_adapters_everything_is_export_only() {
        let table = capabilities(&[]);
        assert_eq!(table.len(), Cloud::ALL.len() * ResourceKind::ALL.len());
        assert!(table.iter().all(|row| row.support == Support::ExportOnly));
        assert!(capabilities(&[Cloud::Aws]).iter().any(|row| row.support == Support::Apply));
    }
}
