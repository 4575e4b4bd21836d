//! How a service that was measured by size class is spread over kinds of machines, and the proof that nothing cheaper does.

use rhumb_api::Cloud;

/// Size classes on kinds of machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeMix {
    /// The profile, as the spec names it.
    pub file: String,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Every kind of machine that was measured and may be bought, ordered by cloud and name; numbers of kinds count these.
    pub kinds: Vec<MixKind>,
    /// Every size class, by name.
    pub classes: Vec<SizeClass>,
    /// How classes are divided in every loss of machines that is to be survived; empty if none is.
    pub losses: Vec<MixLoss>,
    /// That nothing cheaper does: at the prices of the bill, and where several workloads were placed together at the multipliers of what
    /// they share.
    pub proofs: Vec<MixProof>,
}

/// A kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixKind {
    /// The cloud.
    pub cloud: Cloud,
    /// The cloud's name.
    pub instance_type: String,
    /// Machines in all pools; 0 = it lost.
    pub machines: u32,
}

/// A size class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeClass {
    /// Name in the spec and the profile.
    pub name: String,
    /// Requests of it at the peak, millionths of a request a second.
    pub demand: u64,
    /// Where they go.
    pub to: Vec<MixPart>,
}

/// A part of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixPart {
    /// Index into [`SizeMix::kinds`].
    pub kind: u32,
    /// Billionths of the class; those of a class sum to a whole.
    pub billionths: u64,
}

/// What is left when machines fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixLoss {
    /// Machines that fail, of each kind.
    pub lost: Vec<u32>,
    /// Where each class goes then, in the order of [`SizeMix::classes`].
    pub routes: Vec<MixRoute>,
}

/// Where a class goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixRoute {
    /// Its parts.
    pub to: Vec<MixPart>,
}

/// A tree of spans of numbers of machines that covers all of them, with prices at each leaf that bound what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixProof {
    /// Prices of a machine of each kind for a month, micro-dollars over 1024.
    pub prices: Vec<Vec<i64>>,
    /// Nodes, each before what is below it; of a divided one that with fewer machines first.
    pub tree: Vec<MixBranch>,
}

/// A node of such a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixBranch {
    /// The kind whose number is divided: up to `at`, and more. `None` = a leaf.
    pub kind: Option<u32>,
    /// That number; of a leaf the index of its prices.
    pub at: u32,
}
