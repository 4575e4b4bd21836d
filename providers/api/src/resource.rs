//! The neutral vocabulary for what is to exist. An adapter translates it into its cloud's words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Attributes;

/// A cloud that rhumb plans for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Gcp,
    /// Places of the user's own, each a region: what stands there is in the spec and in no list.
    Site,
}

impl Cloud {
    /// All clouds that sell machines, in the order in which ties between them are broken.
    pub const ALL: [Cloud; 3] = [Cloud::Aws, Cloud::Azure, Cloud::Gcp];

    /// The lower-case name used in specs, tables and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cloud::Aws => "aws",
            Cloud::Azure => "azure",
            Cloud::Gcp => "gcp",
            Cloud::Site => "site",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Cloud {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Cloud::ALL.into_iter().chain([Cloud::Site]).find(|c| c.as_str() == text).ok_or(())
    }
}

/// How capacity is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purchase {
    /// Pay as you go.
    OnDemand,
    /// Interruptible spare capacity at its quoted price.
    Spot,
    /// One-year commitment, no upfront payment.
    #[serde(rename = "reserved_1y")]
    Reserved1y,
    /// Three-year commitment, no upfront payment.
    #[serde(rename = "reserved_3y")]
    Reserved3y,
    /// Already paid for: of a reservation or a capacity block of the team's own, which nobody sells, or covered by its savings plan.
    Held,
}

impl Purchase {
    /// All purchase options that are on sale, in the order in which ties between them are broken.
    pub const ALL: [Purchase; 4] =
        [Purchase::OnDemand, Purchase::Spot, Purchase::Reserved1y, Purchase::Reserved3y];

    /// The name used in specs, tables and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purchase::OnDemand => "on_demand",
            Purchase::Spot => "spot",
            Purchase::Reserved1y => "reserved_1y",
            Purchase::Reserved3y => "reserved_3y",
            Purchase::Held => "held",
        }
    }
}

impl fmt::Display for Purchase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Purchase {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Purchase::ALL.into_iter().find(|p| p.as_str() == text).ok_or(())
    }
}

/// What sort of thing a resource is, in words that fit every cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A private network with its subnets in one region (VPC, VNet).
    Network,
    /// Allowed traffic in and out (security group, NSG, firewall rules).
    Firewall,
    /// How a machine of a fleet is started (launch template, VM profile, instance template).
    LaunchTemplate,
    /// A number of equal machines kept alive (auto scaling group, scale set, managed instance group).
    Fleet,
    /// One address in front of the fleets of a region.
    LoadBalancer,
    /// A fleet that lives for one run of a batch.
    JobRun,
    /// A machine at a site of the user's own.
    EdgeUnit,
}

impl ResourceKind {
    /// All kinds, in creation order where dependencies leave it open.
    pub const ALL: [ResourceKind; 7] = [
        ResourceKind::Network,
        ResourceKind::Firewall,
        ResourceKind::LaunchTemplate,
        ResourceKind::LoadBalancer,
        ResourceKind::Fleet,
        ResourceKind::JobRun,
        ResourceKind::EdgeUnit,
    ];

    /// The name used in plans, state and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            ResourceKind::Network => "network",
            ResourceKind::Firewall => "firewall",
            ResourceKind::LaunchTemplate => "launch_template",
            ResourceKind::Fleet => "fleet",
            ResourceKind::LoadBalancer => "load_balancer",
            ResourceKind::JobRun => "job_run",
            ResourceKind::EdgeUnit => "edge_unit",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The value of an attribute of a resource.
///
/// There is no floating-point variant: attributes are compared and hashed, so quantities are
/// integers in the unit that the attribute's name gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attr {
    /// Yes or no.
    Bool(bool),
    /// A whole number, its unit in the attribute's name.
    Int(i64),
    /// A text.
    Text(String),
    /// A list, order significant.
    List(Vec<Attr>),
    /// Named values.
    Map(Attributes),
}

impl From<&str> for Attr {
    fn from(text: &str) -> Attr {
        Attr::Text(text.to_owned())
    }
}

impl From<String> for Attr {
    fn from(text: String) -> Attr {
        Attr::Text(text)
    }
}

impl From<i64> for Attr {
    fn from(n: i64) -> Attr {
        Attr::Int(n)
    }
}

impl From<bool> for Attr {
    fn from(b: bool) -> Attr {
        Attr::Bool(b)
    }
}

/// One thing that is to exist, in neutral words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Where it is.
    pub cloud: Cloud,
    /// Region of that cloud.
    pub region: String,
    /// Everything that an adapter needs to make it; names are documented per kind in `rhumb::graph`.
    pub attributes: Attributes,
}
