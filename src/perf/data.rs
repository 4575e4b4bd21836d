//! The tables that prediction rests on, parsed once.
//!
//! Each row carries its source and date; `perf_convert tables` writes them from the collected data.

use std::sync::OnceLock;

use super::types::Band;
use crate::spec::{EngineName, Quantization};

/// One fitted kernel curve: `t0 + ((flops/(compute*peak))^p + (bytes/(bandwidth*peak))^p)^(1/p)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KernelFit {
    /// Share of the peak rate that large problems reach.
    pub compute: f64,
    /// Share of the memory bandwidth that large problems reach.
    pub bandwidth: f64,
    /// Fixed time of a launch, seconds.
    pub t0: f64,
    /// Sharpness of the roof's edge.
    pub p: f64,
    /// Share of the larger side below which the smaller one changes nothing: the power of `p` is under 2^-53,
    /// or the correction under a millionth.
    pub negligible: f64,
    /// Median relative error of the fit.
    pub error: f64,
}

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Gemm,
    Prefill,
    Decode,
    MlaPrefill,
    MlaDecode,
    Moe,
}

/// The number format of a kernel, as the tables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Bf16,
    Fp8,
    Fp8Block,
    Nvfp4,
    Int8Weights,
    Int4Weights,
    Mxfp4A16,
    Mxfp4A8,
    Kv16,
    Kv8,
    Kv8Compute8,
}

/// Whose kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Library {
    Vllm,
    Sglang,
    Trtllm,
    Other,
}

impl From<EngineName> for Library {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Vllm => Library::Vllm,
            EngineName::Sglang => Library::Sglang,
            EngineName::Trtllm => Library::Trtllm,
            EngineName::Own => Library::Other,
        }
    }
}

/// All-reduce of a library over `n` accelerators: `latency + bytes / bandwidth`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AllReduce {
    /// Accelerators.
    pub n: u32,
    /// Seconds.
    pub latency: f64,
    /// Bytes/s.
    pub bandwidth: f64,
}

/// Datasheet of an accelerator in the performance tables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GpuSpec {
    pub id: String,
    /// Bytes.
    pub memory: f64,
    /// Bytes/s.
    pub bandwidth: f64,
    pub bf16: Option<f64>,
    pub fp8: Option<f64>,
    pub int8: Option<f64>,
    pub fp4: Option<f64>,
    /// Bytes/s in one direction.
    pub link: Option<f64>,
}

/// How an engine computes in a precision on an accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In the precision itself.
    Native,
    /// Weights are stored so and widened to 16 bits.
    WeightOnly,
    /// fp16 in place of bf16.
    Fp16,
}

/// What a rule of the support table speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The engine runs at all.
    Run,
    /// A KV cache of 8 bits.
    KvFp8,
    /// Weights in this precision.
    Weights(Quantization),
}

/// The accelerators that a rule is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Capabilities {
    /// NVIDIA compute capabilities from the first to the last, both included; `None` is no limit.
    Numbers(Option<(u32, u32)>, Option<(u32, u32)>),
    /// One AMD architecture, for example `gfx942`.
    Name(String),
}

/// A rule of the support table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SupportRule {
    pub engine: EngineName,
    pub what: What,
    pub capabilities: Capabilities,
    pub min_version: Option<(u32, u32)>,
    pub max_version: Option<(u32, u32)>,
    pub mode: Mode,
    pub source: String,
}

/// What was left out when a band's error was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Groups of configurations; the model and the accelerator were seen.
    Groups,
    /// Whole models.
    Models,
    /// Whole accelerators.
    Accelerators,
}

/// All-reduce over 2, 4 and 8 accelerators.
type Sizes = [Option<AllReduce>; 3];

/// Accelerator, operation, format, library.
type KernelKey = (u8, Op, Format, Library);

/// Operations x formats x libraries.
const KERNELS: usize = 6 * 11 * 4;

/// Values that were left out x classes x engines x families x metrics; the last of each but the first and last
/// stands for all.
const BANDS: usize = 3 * 4 * 4 * 9 * 2;

/// The parsed tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    gpus: Vec<GpuSpec>,
    /// Sorted.
    kernels: Vec<(KernelKey, KernelFit)>,
    /// For each accelerator, [`KERNELS`] positions in `kernels`: of the library, else of the best fitting other
    /// one; past the end if there is none.
    nearest: Vec<u16>,
    collectives: Vec<((u8, Library), Sizes)>,
    support: Vec<SupportRule>,
    /// [`BANDS`] of them.
    bands: Vec<Option<Band>>,
}

/// The tables, parsed at first use.
pub(crate) fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| {
        Tables::parse(
            include_str!("data/gpus.tsv"),
            include_str!("data/kernels.tsv"),
            include_str!("data/collectives.tsv"),
            include_str!("data/support.tsv"),
            include_str!("data/bands.tsv"),
        )
    })
}

pub(crate) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).filter(|l| !l.is_empty()).map(|l| l.split('\t').collect())
}

fn number(cells: &[&str], i: usize) -> Option<f64> {
    cells.get(i)?.parse::<f64>().ok().filter(|x| x.is_finite())
}

/// `major.minor`.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next().map_or(Some(0), |m| m.parse().ok())?;
    Some((major, minor))
}

fn engine(text: &str) -> Option<EngineName> {
    [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm].into_iter().find(|e| e.as_str() == text)
}

fn library(text: &str) -> Library {
    engine(text).map_or(Library::Other, Library::from)
}

fn op(text: &str) -> Option<Op> {
    Some(match text {
        "gemm" => Op::Gemm,
        "context_attention" => Op::Prefill,
        "generation_attention" => Op::Decode,
        "mla_context" => Op::MlaPrefill,
        "mla_generation" => Op::MlaDecode,
        "moe" => Op::Moe,
        _ => return None,
    })
}

fn format(text: &str) -> Option<Format> {
    Some(match text {
        "bfloat16" => Format::Bf16,
        "fp8" => Format::Fp8,
        "fp8_block" => Format::Fp8Block,
        "nvfp4" => Format::Nvfp4,
        "int8_wo" => Format::Int8Weights,
        "int4_wo" => Format::Int4Weights,
        "w4a16_mxfp4" => Format::Mxfp4A16,
        "w4a8_mxfp4_mxfp8" => Format::Mxfp4A8,
        "bfloat16/kv_bfloat16" | "kv_bfloat16" => Format::Kv16,
        "bfloat16/kv_fp8" | "kv_fp8" => Format::Kv8,
        "fp8/kv_fp8" => Format::Kv8Compute8,
        _ => return None,
    })
}

fn quantization(text: &str) -> Option<Quantization> {
    use Quantization::{Bf16, Fp8, Fp8Block, Int4, Int8, Mxfp4, Nvfp4};
    [Bf16, Fp8, Fp8Block, Int8, Int4, Mxfp4, Nvfp4].into_iter().find(|q| q.as_str() == text)
}

fn slot(name: &str, of: &[&str]) -> Option<usize> {
    of.iter().position(|n| *n == name)
}

fn class_slot(class: &str) -> Option<usize> {
    slot(class, &["dense", "moe", "mla", "*"])
}

fn family_slot(family: &str) -> Option<usize> {
    let all =
        ["hopper", "blackwell", "ampere", "ada", "blackwell-workstation", "cdna", "turing", "volta", "*"];
    slot(family, &all)
}

fn engine_slot(engine: Option<EngineName>) -> usize {
    engine.map_or(3, super::constants::index)
}

fn left_out(text: &str) -> Option<LeftOut> {
    Some(match text {
        "seen" => LeftOut::Groups,
        "new-model" => LeftOut::Models,
        "new-accelerator" => LeftOut::Accelerators,
        _ => return None,
    })
}

/// Position of a band in [`Tables::bands`].
fn band_slot(left: LeftOut, class: usize, engine: Option<EngineName>, family: usize, ttft: bool) -> usize {
    (((left as usize * 4 + class) * 4 + engine_slot(engine)) * 9 + family) * 2 + usize::from(ttft)
}

/// Position of a kernel among the [`KERNELS`] of an accelerator.
const fn kernel_slot(op: Op, format: Format, library: Library) -> usize {
    (op as usize * 11 + format as usize) * 4 + library as usize
}

/// Error of a curve on its own measurements above which another engine's may stand in: where two engines run the
/// same kernel, the better fit is the better description of both.
const POOR_FIT: f64 = 0.3;

impl Tables {
    fn parse(gpus: &str, kernels: &str, collectives: &str, support: &str, bands: &str) -> Self {
        let mut tables = Tables { bands: vec![None; BANDS], ..Tables::default() };
        for c in rows(gpus) {
            let (Some(memory), Some(bandwidth)) = (number(&c, 2), number(&c, 3)) else { continue };
            let tera = |i| number(&c, i).map(|x| x * 1e12);
            tables.gpus.push(GpuSpec {
                id: c[0].to_owned(),
                memory: memory * 1e9,
                bandwidth: bandwidth * 1e9,
                bf16: tera(4),
                fp8: tera(5),
                int8: tera(6),
                fp4: tera(7),
                link: number(&c, 8).map(|x| x * 1e9),
            });
        }
        tables.gpus.sort_by(|a, b| a.id.cmp(&b.id));
        for c in rows(kernels) {
            let (Some(gpu), Some(library), Some(op), Some(format)) = (
                tables.gpu(c[0]),
                c.get(1).map(|l| library(l)),
                c.get(2).and_then(|o| op(o)),
                c.get(3).and_then(|f| format(f)),
            ) else {
                continue;
            };
            let (Some(compute), Some(bandwidth), Some(t0), Some(p), Some(error)) =
                (number(&c, 5), number(&c, 6), number(&c, 7), number(&c, 8), number(&c, 9))
            else {
                continue;
            };
            if compute > 0.0 && bandwidth > 0.0 && p >= 1.0 && t0 >= 0.0 {
                let fit = KernelFit {
                    compute,
                    bandwidth,
                    t0: t0 * 1e-6,
                    p,
                    negligible: crate::math::pow(f64::EPSILON / 2.0, 1.0 / p).max(1e-6),
                    error,
                };
                tables.kernels.push(((gpu, op, format, library), fit));
            }
        }
        tables.kernels.sort_by_key(|k| k.0);
        tables.find_nearest();
        for c in rows(collectives) {
            let (Some(gpu), Some(n), Some(latency), Some(bandwidth)) =
                (tables.gpu(c[0]), number(&c, 3), number(&c, 4), number(&c, 5))
            else {
                continue;
            };
            let slot = match n as u32 {
                2 => 0,
                4 => 1,
                8 => 2,
                _ => continue,
            };
            let key = (gpu, library(c[1]));
            let row = AllReduce { n: n as u32, latency: latency * 1e-6, bandwidth: bandwidth * 1e9 };
            match tables.collectives.iter_mut().find(|r| r.0 == key) {
                Some(found) => found.1[slot] = Some(row),
                None => {
                    let mut all = [None; 3];
                    all[slot] = Some(row);
                    tables.collectives.push((key, all));
                }
            }
        }
        tables.collectives.sort_by_key(|c| c.0);
        for c in rows(support) {
            let (Some(engine), true) = (engine(c[0]), c.len() >= 9) else { continue };
            let what = match c[2] {
                "run" => What::Run,
                "kv_fp8" => What::KvFp8,
                name => match quantization(name) {
                    Some(q) => What::Weights(q),
                    None => continue,
                },
            };
            tables.support.push(SupportRule {
                engine,
                what,
                capabilities: match c[1] {
                    "nvidia" => Capabilities::Numbers(version(c[3]), version(c[4])),
                    _ => Capabilities::Name(c[3].to_owned()),
                },
                min_version: version(c[5]),
                max_version: version(c[6]),
                mode: match c[7] {
                    "weight-only" => Mode::WeightOnly,
                    "fp16" => Mode::Fp16,
                    _ => Mode::Native,
                },
                source: c[8].to_owned(),
            });
        }
        for c in rows(bands) {
            let (Some(mu), Some(sigma), Some(groups)) = (number(&c, 5), number(&c, 6), number(&c, 8)) else {
                continue;
            };
            let (Some(left), Some(class), Some(family)) =
                (left_out(c[0]), class_slot(c[1]), family_slot(c[3]))
            else {
                continue;
            };
            let at = band_slot(left, class, engine(c[2]), family, c[4] == "ttft");
            tables.bands[at] = Some(Band { mu, sigma, groups: groups as u32 });
        }
        tables
    }

    /// Index of an accelerator by its name in the performance tables.
    pub fn gpu(&self, id: &str) -> Option<u8> {
        self.gpus.binary_search_by(|g| g.id.as_str().cmp(id)).ok().and_then(|i| u8::try_from(i).ok())
    }

    /// The datasheet.
    pub fn spec(&self, gpu: u8) -> Option<&GpuSpec> {
        self.gpus.get(usize::from(gpu))
    }

    /// Fills [`Tables::nearest`].
    fn find_nearest(&mut self) {
        let none = self.kernels.len();
        let mut best = vec![none; self.gpus.len() * KERNELS];
        const LIBRARIES: [Library; 4] = [Library::Vllm, Library::Sglang, Library::Trtllm, Library::Other];
        let error = |i: usize| self.kernels.get(i).map_or(f64::INFINITY, |k| k.1.error);
        for (i, ((gpu, op, format, own), fit)) in self.kernels.iter().enumerate() {
            for library in LIBRARIES {
                let at = usize::from(*gpu) * KERNELS + kernel_slot(*op, *format, library);
                let good = |l: Library, e: f64| l == library && e <= POOR_FIT;
                let taken = self.kernels.get(best[at]).is_some_and(|k| good(k.0.3, k.1.error));
                if good(*own, fit.error) || (!taken && fit.error < error(best[at])) {
                    best[at] = i;
                }
            }
        }
        self.nearest = best.into_iter().map(|i| u16::try_from(i).unwrap_or(u16::MAX)).collect();
    }

    /// The curve of `library` unless it fits its measurements poorly, else the best fitting one of any library.
    pub fn kernel_of_any(&self, gpu: u8, op: Op, format: Format, library: Library) -> Option<&KernelFit> {
        let at = usize::from(gpu) * KERNELS + kernel_slot(op, format, library);
        self.kernels.get(usize::from(*self.nearest.get(at)?)).map(|k| &k.1)
    }

    /// Whether there is any curve for this accelerator.
    pub fn has_curves(&self, gpu: u8) -> bool {
        let from = self.kernels.partition_point(|k| k.0.0 < gpu);
        self.kernels[from..].iter().take_while(|k| k.0.0 == gpu).any(|k| k.0.3 != Library::Other)
    }

    /// All-reduce over `n` accelerators (2, 4 or 8; others take the next larger).
    pub fn all_reduce(&self, gpu: u8, library: Library, n: u32) -> Option<AllReduce> {
        let slot = match n {
            0..=2 => 0,
            3..=4 => 1,
            _ => 2,
        };
        [library, Library::Other, Library::Vllm, Library::Sglang, Library::Trtllm].into_iter().find_map(|l| {
            let at = self.collectives.binary_search_by_key(&(gpu, l), |r| r.0).ok()?;
            self.collectives[at].1[slot]
        })
    }

    /// The support rules.
    pub fn support(&self) -> &[SupportRule] {
        &self.support
    }

    /// The band of the narrowest class that was measured.
    pub fn band(
        &self,
        left: LeftOut,
        class: &str,
        engine: EngineName,
        family: &str,
        ttft: bool,
    ) -> Option<Band> {
        let (all_classes, all_families) = (3, 8);
        let of = |class: usize, engine: Option<EngineName>, family: usize| {
            *self.bands.get(band_slot(left, class, engine, family, ttft))?
        };
        let narrow = class_slot(class).and_then(|class| {
            family_slot(family)
                .and_then(|family| of(class, Some(engine), family))
                .or_else(|| of(class, Some(engine), all_families))
                .or_else(|| of(class, None, all_families))
        });
        narrow.or_else(|| of(all_classes, None, all_families))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_table_is_understood_and_has_a_source() {
        let t = tables();
        let lines = |text: &str| text.lines().count() - 1;
        assert_eq!(t.gpus.len(), lines(include_str!("data/gpus.tsv")));
        assert_eq!(t.kernels.len(), lines(include_str!("data/kernels.tsv")));
        assert_eq!(t.support.len(), lines(include_str!("data/support.tsv")));
        assert_eq!(t.bands.iter().flatten().count(), lines(include_str!("data/bands.tsv")));
        assert_eq!(
            t.collectives.iter().map(|c| c.1.iter().flatten().count()).sum::<usize>(),
            lines(include_str!("data/collectives.tsv"))
        );
        assert!(t.support.iter().all(|r| !r.source.is_empty()));
    }

    /// The index of curves says what a search would: the library's own if it fits, else the best fit.
    #[test]
    fn the_nearest_curve_is_the_librarys_own_if_it_fits_or_the_best_fitting() {
        use {Format as F, Library as L};
        let t = tables();
        let one = |gpu, op, format, library| {
            t.kernels.iter().find(|k| k.0 == (gpu, op, format, library)).map(|k| k.1)
        };
        let (mut borrowed, mut poor) = (0, 0);
        for gpu in 0..t.gpus.len() as u8 {
            for op in [Op::Gemm, Op::Prefill, Op::Decode, Op::MlaPrefill, Op::MlaDecode, Op::Moe] {
                for format in
                    [F::Bf16, F::Fp8, F::Fp8Block, F::Nvfp4, F::Int4Weights, F::Mxfp4A16, F::Kv16, F::Kv8]
                {
                    for library in [L::Vllm, L::Sglang, L::Trtllm] {
                        let own = one(gpu, op, format, library);
                        let best = [L::Vllm, L::Sglang, L::Trtllm, L::Other]
                            .into_iter()
                            .filter_map(|l| one(gpu, op, format, l))
                            .min_by(|a, b| a.error.total_cmp(&b.error));
                        borrowed += usize::from(own.is_none() && best.is_some());
                        assert_eq!(
                            t.kernel_of_any(gpu, op, format, library).copied(),
                            own.filter(|k| k.error <= POOR_FIT).or(best)
                        );
                        poor += usize::from(own.is_some_and(|k| k.error > POOR_FIT));
                    }
                }
            }
        }
        assert!(borrowed > 20 && poor > 2, "{borrowed} {poor}");
    }

    #[test]
    fn a_band_is_that_of_the_narrowest_class_with_one() {
        let t = tables();
        let band = |class, engine, family| t.band(LeftOut::Groups, class, engine, family, false);
        let all = band("nothing", EngineName::Vllm, "nowhere").unwrap();
        let narrow = band("moe", EngineName::Vllm, "blackwell").unwrap();
        assert!(narrow != all && narrow.groups < all.groups, "{narrow:?} {all:?}");
        let engine = band("moe", EngineName::Vllm, "nowhere").unwrap();
        assert!(engine.groups >= narrow.groups && engine.groups <= all.groups, "{engine:?}");
    }
}
