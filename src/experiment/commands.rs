//! The commands of a run: the engine as the plan would start it, and the benchmark.

use std::fmt::Write as _;

use super::{Candidate, ROUNDS};
use crate::graph;
use crate::placement::Placement;
use crate::render::{self, START_SCRIPT};
use crate::spec::{KvCacheDtype, ModelSource, Spec};

/// What to type, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Starts the engine on the machine.
    pub serve: String,
    /// Sends the requests, once the engine answers.
    pub bench: String,
    /// Records the results.
    pub calibrate: String,
}

/// The commands of a candidate.
pub(super) fn of(spec: &Spec, placement: &Placement, c: &Candidate) -> Result<Commands, String> {
    let script = script(spec, placement, c)?;
    let serve = serve(&script);
    // The benchmark asks for what the script serves.
    let model = line_value(&serve, "model=").unwrap_or("\"${RHUMB_MODEL:?}\"").to_owned();
    let served = serve.split("--served-model-name ").nth(1).and_then(|rest| rest.split(' ').next());
    let d = &c.deployment;
    let name = format!("{}-{}-tp{}", d.model, d.accelerator, d.layout.tp).replace('/', "-");
    let (major, minor) = d.version;
    let mut metadata = format!(
        "gpu={} tp={} pp={} dp={} ep={} engine={} engine_version={major}.{minor} precision={} lengths=fixed",
        d.accelerator,
        d.layout.tp,
        d.layout.pp,
        d.layout.dp,
        d.layout.ep,
        d.engine.as_str(),
        d.precision.as_str(),
    );
    if d.kv_cache == KvCacheDtype::Fp8 {
        metadata += " kv_cache=fp8";
    }
    let levels: Vec<String> = c.levels.iter().map(u32::to_string).collect();
    let mut bench = format!("for c in {}; do\n  vllm bench serve --model {model}", levels.join(" "));
    if let Some(served) = served {
        let _ = write!(bench, " --served-model-name {served}");
    }
    let _ = write!(
        bench,
        " --base-url http://127.0.0.1:8000 --dataset-name random --random-input-len {} --random-output-len {} \
         --random-range-ratio 0 --ignore-eos --max-concurrency \"$c\" --num-prompts $((c * {ROUNDS})) \
         --num-warmups \"$c\" --seed 1 --save-result --result-filename \"{name}-$c.json\" --metadata {metadata}\ndone",
        c.input, c.output,
    );
    let results: Vec<String> = c.levels.iter().map(|level| format!("{name}-{level}.json")).collect();
    let model = match config(spec, &c.workload) {
        Some(path) => format!("--model-config {path}"),
        None => format!("--model {}", d.model),
    };
    let calibrate = format!("rhumb calibrate {} {model}", results.join(" "));
    Ok(Commands { serve, bench, calibrate })
}

/// The config.json of the workload's model, if the catalogue does not know it.
fn config<'s>(spec: &'s Spec, workload: &str) -> Option<&'s str> {
    let (kind, name) = workload.split_once('.')?;
    let model = match kind {
        "services" => &spec.services.get(name)?.model,
        _ => &spec.batches.get(name)?.model,
    };
    match &spec.models.get(model)?.source {
        ModelSource::Config(file) => Some(&file.path),
        ModelSource::Known { .. } | ModelSource::Measured(_) => None,
    }
}

fn line_value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|l| l.strip_prefix(key))
}

/// The start script of the candidate's pool, as a plan would carry it.
fn script(spec: &Spec, placement: &Placement, c: &Candidate) -> Result<String, String> {
    let mut only = placement.clone();
    only.workloads.retain(|address, _| *address == c.workload);
    let placed = only.workloads.get_mut(&c.workload).ok_or("the plan does not have its workload")?;
    placed.pools = vec![c.pool.clone()];
    for route in &mut placed.routes {
        route.to = vec![(0, 1.0)];
        route.network_ms.truncate(1);
    }
    let bound = graph::compile(spec).map_err(|e| e.to_string())?.bind(spec, &only);
    let artifacts = render::artifacts(&bound).map_err(|e| e.to_string())?;
    let own = artifacts.iter().find(|a| a.name == START_SCRIPT && a.addr.as_str().starts_with(&c.workload));
    own.map(|a| a.content.clone()).ok_or_else(|| "its engine has no start script".to_owned())
}

/// One replica of a start script on port 8000, for a person's shell: the settings before `start()` and its
/// body, with the arguments on one line.
fn serve(script: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut arguments: Option<Vec<&str>> = None;
    let from = script.lines().skip_while(|l| !l.starts_with("model="));
    for line in from.take_while(|l| *l != "}") {
        let text = line.trim();
        if let Some(list) = &mut arguments {
            if text == ")" {
                out.push(format!("args=({})", list.join(" ")));
                arguments = None;
            } else {
                list.push(text);
            }
            continue;
        }
        match text {
            "" | "start() {" | "local port=\"$1\"" => {}
            "local args=(" => arguments = Some(Vec::new()),
            _ if text.starts_with('#') => {}
            _ => {
                let text = text.strip_prefix("local ").unwrap_or(text);
                out.push(text.strip_prefix("exec ").unwrap_or(text).to_owned());
            }
        }
    }
    out.join("\n").replace("\"$port\"", "8000").replace("$port", "8000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_becomes_what_a_person_types() {
        let script = "#!/bin/bash\nset -e\n\nmodel='a/b'\n\nstart() {\n  local port=\"$1\"\n  local args=(\n    --host 0.0.0.0\n    \
                      --port \"$port\"\n  )\n  exec vllm serve \"$model\" \"${args[@]}\"\n}\n\nstart 8000\n";
        assert_eq!(
            serve(script),
            "model='a/b'\nargs=(--host 0.0.0.0 --port 8000)\nvllm serve \"$model\" \"${args[@]}\""
        );
    }
}
