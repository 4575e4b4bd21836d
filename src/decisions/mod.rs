//! Why things are as they are: context, decision, what was refused.
//!
#![doc = include_str!("0001-the-house.md")]
#![doc = include_str!("0002-what-a-placement-promises.md")]
#![doc = include_str!("0003-what-the-catalogue-claims.md")]
#![doc = include_str!("0004-when-a-plan-is-inconclusive.md")]
#![doc = include_str!("0005-prediction-is-physics-and-a-ledger.md")]
#![doc = include_str!("0006-capacity-is-a-closed-form-and-a-replay.md")]
#![doc = include_str!("0007-users-runs-correct-predictions.md")]
#![doc = include_str!("0008-workloads-are-placed-together.md")]
#![doc = include_str!("0009-other-worlds.md")]
#![doc = include_str!("0010-what-stands-in-for-refused-machines.md")]
#![doc = include_str!("0011-the-load-of-a-day.md")]
#![doc = include_str!("0012-machines-that-services-share.md")]
