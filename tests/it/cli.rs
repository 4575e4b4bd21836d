//! The command line as a person or a script meets it: the real binary, its exits, streams and widths.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rhumb::cli::Exit;
use serde_json::Value;

use crate::extent::{one_in, pick};

const COMMANDS: [&str; 33] = [
    "plan",
    "preflight",
    "apply",
    "refresh",
    "destroy",
    "import",
    "forget",
    "state",
    "status",
    "output",
    "history",
    "rollback",
    "sim",
    "sign",
    "show",
    "check",
    "explain",
    "what-if",
    "scale",
    "pareto",
    "stress",
    "graph",
    "validate",
    "verify",
    "fmt",
    "schema",
    "init",
    "catalog",
    "predict",
    "calibrate",
    "bench-plan",
    "completions",
    "man",
];

/// The binary with an environment that does not depend on who runs the tests.
pub fn rhumb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Standard output, standard error, exit code.
pub fn run(command: &mut Command) -> (String, String, i32) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap_or(-1))
}

fn plain(args: &[&str]) -> (String, String, i32) {
    run(rhumb().args(args))
}

const CHAT: &str = "examples/support-chat/deploy.yaml";
const HOPELESS: &str = "examples/impossible-latency/deploy.yaml";

/// A spec that many plans are made of, one of its services, and a promise that is not to be kept: one that is soon planned, where few tests are
/// run.
fn explored() -> (&'static str, &'static str, &'static str) {
    let chat = (CHAT, "services.chat", "chat.slo.ttft_p95=1ms");
    let soon = ("examples/visual-inspection/deploy.yaml", "services.inspect", "inspect.slo.e2e_p99=1ms");
    pick(soon, chat, chat)
}

/// A plan that was saved, and a state that has come since.
fn stale_plan(folder: &Path) -> (PathBuf, PathBuf) {
    let (plan, state) = (folder.join("chat.plan"), folder.join("state.json"));
    let (_, err, code) = run(rhumb().args(["plan", CHAT, "--out"]).arg(&plan));
    assert_eq!(code, 0, "{err}");
    let made = rhumb::state::State { serial: 7, ..rhumb::state::State::new("a-test".into(), false) };
    std::fs::write(&state, rhumb::state::file::encode(&made)).unwrap();
    (plan, state)
}

/// The saved plan with a price that nobody lists, and a digest that fits.
fn forged_plan(folder: &Path, plan: &Path) -> PathBuf {
    let text = std::fs::read_to_string(plan).unwrap();
    let mut forged = rhumb::plan::file::decode("chat.plan", &text).unwrap();
    let machines = &mut forged.placement.workloads.get_mut("services.chat").unwrap().pools[0].machines[0];
    machines.price = rhumb::spec::Money::from_micros(machines.price.micros() / 2);
    let path = folder.join("forged.plan");
    std::fs::write(&path, rhumb::plan::file::encode(&forged)).unwrap();
    path
}

#[test]
fn every_exit_of_the_table_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, state) = stale_plan(folder.path());
    let forged = forged_plan(folder.path(), &plan);
    let loose = folder.path().join("loose.yaml");
    std::fs::write(&loose, "rhumb:   1\nname:    loose\n").unwrap();
    let [plan, state, loose, forged] = [&plan, &state, &loose, &forged].map(|p| p.to_str().unwrap());
    let (spec, ..) = explored();
    let cases: &[(Exit, &[&str])] = &[
        (Exit::Done, &["--version"]),
        (Exit::Done, &["--help"]),
        (Exit::Done, &["plan", spec]),
        (Exit::Done, &["check", spec]),
        (Exit::Done, &["validate", CHAT]),
        (Exit::Done, &["show", plan]),
        (Exit::Error, &[]),
        (Exit::Error, &["plann"]),
        (Exit::Error, &["plan", "--nope"]),
        (Exit::Error, &["catalog"]),
        (Exit::Error, &["show"]),
        (Exit::Error, &["plan", "no-such-file.yaml"]),
        (Exit::Error, &["show", "no-such-file"]),
        (Exit::Error, &["explain", "services.nobody", CHAT]),
        (Exit::Error, &["-C", "no-such-folder", "validate"]),
        (Exit::Changes, &["plan", spec, "--detailed-exitcode"]),
        (Exit::CheckFailed, &["fmt", "--check", loose]),
        (Exit::CheckFailed, &["check", "--plan", forged, CHAT]),
        (Exit::CheckFailed, &["check", "--plan", forged, CHAT, "--max-age", "1"]),
        (Exit::Inconclusive, &["check", spec, "--max-age", "1"]),
        (Exit::Inconclusive, &["plan", spec, "--max-age", "1d"]),
        (Exit::Inconclusive, &["plan", spec, "--max-age", "1", "--detailed-exitcode"]),
        (Exit::Infeasible, &["plan", HOPELESS, "--max-age", "1"]),
        (Exit::Stale, &["check", "--plan", forged, "examples/two-models"]),
        (Exit::Stale, &["show", plan, "--state", state]),
        (Exit::Infeasible, &["plan", HOPELESS]),
        (Exit::Infeasible, &["plan", HOPELESS, "--detailed-exitcode"]),
        (Exit::Infeasible, &["check", HOPELESS]),
        (Exit::Unfinished, &["plan", CHAT, "--time-limit", "0s"]),
    ];
    for (exit, args) in one_in(4, 1).cases(cases, |(exit, _)| [exit.code()]) {
        let (out, err, code) = plain(args);
        assert_eq!(code, exit.code(), "{args:?}\n{out}\n{err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        assert!(!out.is_empty() || !err.is_empty() || *exit == Exit::Done, "{args:?} says nothing");
    }
    for (exit, code, ..) in Exit::TABLE {
        // An interruption has a test of its own.
        let elsewhere = exit == Exit::Interrupted;
        assert_ne!(cases.iter().any(|(e, _)| *e == exit), elsewhere, "exit {code} has no case");
    }
}

#[test]
fn every_first_spec_can_be_planned() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["chat", "code", "rag", "embedding"];
    let cases = short.iter().chain(rhumb::spec::use_case::NAMES);
    let cases = cases.flat_map(|use_case| ["yaml", "hcl"].map(|lang| (use_case, lang)));
    for (use_case, lang) in one_in(6, 1).cases(cases, |(use_case, lang)| [**use_case, *lang]) {
        let model = if *use_case == "embedding" { "Qwen/Qwen3-Embedding-0.6B" } else { "Qwen/Qwen3-32B" };
        let name = format!("{use_case}.{lang}");
        let at = |args: &[&str]| run(rhumb().arg("-C").arg(folder.path()).args(args));
        let (_, err, code) =
            at(&["init", "--use-case", use_case, "--model", model, "--lang", lang, "--out", &name]);
        assert_eq!(code, 0, "{name}: {err}");
        let (out, err, code) = at(&["plan", &name, "--at", "2026-11-25"]);
        assert_eq!(code, 0, "{name}: {out}{err}");
    }
}

#[test]
fn every_command_has_help_and_a_manual_page() {
    let (root, _, _) = plain(&["--help"]);
    for command in COMMANDS {
        assert!(root.contains(&format!("\n  {command} ")), "{command} is not listed");
        let (short, _, code) = plain(&[command, "-h"]);
        assert_eq!(code, 0);
        assert!(short.contains("Usage:"), "{command}: {short}");
        assert!(short.lines().next().is_some_and(|l| l.len() > 10), "{command} is not described");
        let (page, err, code) = plain(&["man", command]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(page.contains(".SH DESCRIPTION"), "{command}");
    }
    let (page, _, _) = plain(&["man"]);
    assert!(page.contains("EXIT STATUS"));
    for (_, code, _, meaning) in Exit::TABLE {
        assert!(root.contains(&format!("{code:>3}  {meaning}")), "{code} is not in the help");
        assert!(page.contains(&format!("\\fB{code}\\fR\n{meaning}")), "{code} is not in the manual");
    }
}

/// An engine that cannot start what only the search could tell.
const SPANNING: &str = "
rhumb: 1
name: wide
models: { m: { source: Qwen/Qwen3-235B-A22B } }
services:
  s:
    model: m
    traffic: { peak: 1 req/s, input_tokens: 100, output_tokens: 10, origins: { all: { at: vpc, share: 100% } } }
    slo: { ttft: { p95: 5s }, tpot: { p95: 200ms } }
    placement: { accelerators: [h100] }
    engine:
      name: trtllm
      args: { tensor_parallel_size: 8, pipeline_parallel_size: 2 }
";

#[test]
fn what_an_engine_has_no_start_for_is_not_chosen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), SPANNING).unwrap();
    for command in ["plan", "check"] {
        let (out, err, code) = run(rhumb().arg("-C").arg(folder.path()).args([command, "deploy.yaml"]));
        assert_eq!(code, 6, "{out}\n{err}");
        assert!(command == "check" || out.contains(", launcher "), "{out}\n{err}");
    }
}

/// One document with a schema, for every command that takes `--json`.
fn document(args: &[&str]) -> (Value, i32) {
    let (out, err, code) = run(rhumb().arg("--json").args(args));
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}\n{err}"));
    let schema = value.get("schema").or_else(|| value.get("$schema")).and_then(Value::as_str);
    assert!(schema.is_some(), "{args:?}: {out}");
    (value, code)
}

#[test]
fn json_is_one_document_with_a_schema() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, state) = stale_plan(folder.path());
    let broken = folder.path().join("broken.yaml");
    std::fs::write(&broken, "rhumb: 1\nnam: x\n").unwrap();
    let new = folder.path().join("new.yaml");
    let [plan, state, broken, new] = [&plan, &state, &broken, &new].map(|p| p.to_str().unwrap());
    let (spec, service, _) = explored();
    let cases: &[(&str, i32, &[&str])] = &[
        ("rhumb.plan/1", 0, &["plan", spec]),
        ("rhumb.plan/1", 0, &["show", plan]),
        ("rhumb.infeasible/1", 6, &["plan", HOPELESS]),
        ("rhumb.explain/1", 0, &["explain", service, spec]),
        ("rhumb.what-if/1", 0, &["what-if", spec, "price:all=x1"]),
        ("rhumb.scale/1", 0, &["scale", spec, "--traffic", "1..2", "--steps", "2", "--tolerance", "50%"]),
        ("rhumb.pareto/1", 0, &["pareto", spec, "--step", "100%"]),
        ("rhumb.stress/1", 0, &["stress", spec, "--worlds", "100", "--requests", "0"]),
        ("rhumb.check/1", 0, &["check", spec]),
        ("rhumb.check/1", 5, &["check", spec, "--max-age", "1"]),
        ("rhumb.plan/1", 5, &["plan", spec, "--max-age", "1"]),
        ("rhumb.diagnostics/1", 0, &["validate", CHAT]),
        ("rhumb.diagnostics/1", 1, &["validate", broken]),
        ("rhumb.diagnostics/1", 1, &["plan", broken]),
        ("rhumb.fmt/1", 0, &["fmt", "--check", CHAT]),
        ("rhumb.init/1", 0, &["init", "--use-case", "chat", "--model", "Qwen/Qwen3-32B", "--out", new]),
        ("rhumb.catalog/1", 0, &["catalog", "info"]),
        ("rhumb.catalog/1", 0, &["catalog", "prices", "--limit", "2"]),
        ("rhumb.predict/1", 0, &["predict", "--model", "llama-3.1-8b", "--gpu", "h100"]),
        ("rhumb.error/1", 4, &["show", plan, "--state", state]),
        ("rhumb.error/1", 1, &["show", "no-such-plan"]),
        ("rhumb.error/1", 1, &["plan", "--nope"]),
        ("rhumb.error/1", 1, &["--at", "soon", "validate", CHAT]),
        ("rhumb.error/1", 1, &["-C", "no-such-folder", "validate"]),
    ];
    for (schema, exit, args) in cases {
        let (value, code) = document(args);
        assert_eq!((value["schema"].as_str(), code), (Some(*schema), *exit), "{args:?}");
    }
    document(&["schema"]);
}

#[test]
fn colour_only_where_it_is_wanted() {
    let colourful = |command: &mut Command| {
        let (out, err, _) = run(command);
        (out + &err).contains('\u{1b}')
    };
    let (spec, ..) = explored();
    for args in [&["plan", spec][..], &["plan", HOPELESS], &["plan", "no-such-file.yaml"]] {
        assert!(!colourful(rhumb().args(args)), "{args:?} in a pipe");
        assert!(colourful(rhumb().args(args).env("CLICOLOR_FORCE", "1")), "{args:?} forced");
        let both = colourful(rhumb().args(args).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
        assert!(!both, "{args:?}: NO_COLOR wins");
    }
    // Colour changes no letter and no width.
    let (dull, _, _) = plain(&["plan", spec, "--at", "2026-11-25"]);
    let (bright, _, _) = run(rhumb().args(["plan", spec, "--at", "2026-11-25"]).env("CLICOLOR_FORCE", "1"));
    assert_eq!(stripped(&bright), dull);
}

fn stripped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            out.push(c);
        }
    }
    out.lines().map(|l| format!("{}\n", l.trim_end())).collect()
}

#[test]
fn no_line_is_wider_than_a_narrow_window() {
    let (spec, service, promise) = explored();
    let commands = [
        &["plan", CHAT][..],
        &["plan", HOPELESS],
        &["plan", "examples/two-models"],
        &["explain", service, spec],
        &["what-if", spec, "traffic=x2", promise],
        &["scale", spec, "--traffic", "0.5..1", "--steps", "2", "--tolerance", "50%"],
        &["pareto", spec, "--step", "100%"],
        &["stress", spec, "--worlds", "100", "--requests", "0", "--curve"],
        &["catalog", "prices", "--limit", "9"],
        &["catalog", "sources"],
        &["catalog", "info"],
        &["predict", "--model", "llama-3.1-8b"],
        &["predict", "--model", "llama-3.1-8b", "--gpu", "l4", "--tp", "1"],
    ];
    let cases = commands.iter().flat_map(|args| [40, 60, 72, 100].map(|width| (*args, width)));
    // Every command, and every width.
    let strata = |(args, width): &(&[&str], usize)| [args.join(" "), width.to_string()];
    for (args, width) in one_in(20, 1).cases(cases, strata) {
        let (out, _, _) = run(rhumb().args(args).env("COLUMNS", width.to_string()));
        assert!(!out.is_empty(), "{args:?}");
        let wide: Vec<&str> = out.lines().filter(|l| l.chars().count() > width).collect();
        assert!(wide.is_empty(), "{args:?} at {width}: {wide:#?}");
    }
}

#[test]
fn lists_in_a_pipe_keep_one_line_for_each_row() {
    let (out, _, _) = plain(&["catalog", "prices", "--limit", "50", "-v"]);
    assert_eq!(out.lines().count(), 52, "{out}");
}

#[test]
fn quiet_prints_only_the_result() {
    let (out, err, code) = plain(&["-q", "plan", CHAT]);
    assert_eq!((out.lines().count(), err.as_str(), code), (1, "", 0), "{out}");
    assert_eq!(plain(&["-q", "validate", CHAT]), (String::new(), String::new(), 0));
    let (out, err, code) = plain(&["-q", "plan", "no-such-file.yaml"]);
    assert!(out.is_empty() && err.contains("no-such-file.yaml") && code == 1);
}

#[test]
fn another_folder_and_another_time() {
    let (spec, ..) = explored();
    let here = plain(&["plan", spec, "--at", "2026-11-25"]);
    let folder = spec.trim_end_matches("/deploy.yaml");
    let there = plain(&["-C", folder, "plan", "deploy.yaml", "--at", "2026-11-25"]);
    assert_eq!(here, there);
    let epoch = run(rhumb().args(["plan", spec]).env("SOURCE_DATE_EPOCH", "1795564800"));
    assert_eq!(here, epoch);
    // What is typed wins over the environment.
    let typed =
        rhumb().args(["plan", spec, "--at", "2026-11-25T00:00:00Z"]).env("SOURCE_DATE_EPOCH", "0").output();
    assert_eq!(String::from_utf8(typed.unwrap().stdout).unwrap(), here.0);
    for time in ["", "soon", "2026-13-01", "2026-02-30", "25.11.2026", "2026-11-25T25:00:00Z", "1795564800"] {
        let (out, err, code) = plain(&["validate", CHAT, "--at", time]);
        assert_eq!((out.as_str(), code), ("", 1), "{time:?}");
        assert!(err.contains("--at"), "{time:?}: {err}");
    }
    for seconds in ["", "soon", "-1e9", "99999999999999999999"] {
        let (_, err, code) = run(rhumb().args(["validate", CHAT]).env("SOURCE_DATE_EPOCH", seconds));
        assert_eq!(code, 1, "{seconds:?}");
        assert!(err.contains("SOURCE_DATE_EPOCH"), "{seconds:?}: {err}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [
        &["catalog", "prices"][..],
        &["catalog", "prices", "--json"],
        &["schema"],
        &["completions", "bash"],
        &["man"],
        &["plan", CHAT],
        &["plan", "no-such-file.yaml"],
    ] {
        let mut child = rhumb().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Nobody reads: every write meets a closed pipe.
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = child.wait().unwrap().code();
        let expected = i32::from(args.contains(&"no-such-file.yaml"));
        assert_eq!(code, Some(expected), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    for args in [&["schema"][..], &["plan", CHAT], &["catalog", "regions"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = rhumb().args(args).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(err.contains("standard output"), "{args:?}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn an_interruption_ends_with_130() {
    // The list is larger than a pipe holds, so the command waits for its reader.
    let mut child = rhumb()
        .args(["catalog", "prices", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(Exit::Interrupted.code()));
}

#[test]
fn a_search_that_had_no_time_says_so_and_decides_nothing() {
    let (out, err, code) = plain(&["plan", HOPELESS, "--time-limit", "0s"]);
    assert_eq!((out.as_str(), code), ("", Exit::Unfinished.code()), "{err}");
    assert!(err.contains("stopped by the time limit before any placement was found"), "{err}");
    assert!(err.contains("not known") && !err.to_lowercase().contains("infeasible"), "{err}");
    let (out, _, code) = plain(&["plan", CHAT, "--time-limit", "0ms", "--json"]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["schema"], &value["exit"], code), (&"rhumb.error/1".into(), &7.into(), 7));
    let (out, err, code) = plain(&["plan", CHAT, "--time-limit", "1h", "--effort", "1"]);
    assert_eq!((code, err.as_str()), (0, ""), "what is done in time is a plan as any other: {out}");
    for (option, value, says) in [
        ("--time-limit", "30", "has no unit"),
        ("--time-limit", "-1s", "out of range"),
        ("--time-limit", "soon", "is not a duration"),
        ("--effort", "0", "a whole number of at least 1"),
        ("--effort", "much", "a whole number of at least 1"),
    ] {
        let (out, err, code) = plain(&["plan", CHAT, &format!("{option}={value}")]);
        assert_eq!((out.as_str(), code), ("", 1), "{option} {value}: {err}");
        assert!(err.contains(says) && err.contains(option), "{option} {value}: {err}");
    }
}

/// Starts a search over services that share quotas, and waits until it knows a choice for all of them.
#[cfg(unix)]
fn searching(more: &[&str]) -> std::process::Child {
    let fleet = "tests/it/fixtures/fleet-20.yaml";
    let mut child = rhumb()
        .args(["plan", fleet, "--at", "2026-11-25", "-v"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("; best ") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap() > 0, "it ended before that");
    }
    // Nobody waits for its messages from here on.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    child
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

#[cfg(unix)]
#[test]
fn an_interrupted_search_ends_with_the_best_so_far() {
    if option_env!("RHUMB_CATALOG_EXCLUDE").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.plan");
    let child = searching(&["--out", saved.to_str().unwrap()]);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let plan = rhumb::plan::file::decode("saved", &std::fs::read_to_string(&saved).unwrap()).unwrap();
    let c = plan.placement.coupling.unwrap();
    assert!(c.apart <= c.lower_bound && c.lower_bound <= c.optimum);
    assert_eq!(plan.placement.workloads.len(), 20);
    // Either it had time to prove it, or it says who stopped it.
    assert_eq!(c.stopped.is_some(), c.lower_bound < c.optimum);
    let says = |what: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").contains(what);
    assert_eq!(says("stopped by hand: another run may give another plan"), c.stopped.is_some(), "{text}");
}

#[cfg(unix)]
#[test]
fn a_second_interruption_ends_a_search_at_once() {
    if option_env!("RHUMB_CATALOG_EXCLUDE").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.plan");
    // Nobody reads the plan, which is larger than a pipe holds: it does not end by itself.
    let mut child = searching(&["--json", "--out", saved.to_str().unwrap()]);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        // It may be gone by now.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap();
    };
    assert_eq!(status.code(), Some(Exit::Interrupted.code()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no part of a file is left");
}
