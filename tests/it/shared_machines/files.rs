//! The start files of a machine with engines of several services: checked by bash, and run with a stand-in for the engines.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rhumb::render::{self, Artifact, RenderError};
use rhumb::spec::EngineName;
use rhumb_api::Attr;

use super::{FULL, OTHER, bound, together};

fn artifacts() -> Vec<Artifact> {
    let (spec, _, placement) = together();
    render::artifacts(&bound(&spec, &placement)).unwrap()
}

/// The files of a mix, by name.
fn of<'a>(artifacts: &'a [Artifact], mix: &str) -> Vec<&'a Artifact> {
    let template = format!("{mix}/launch_template");
    artifacts.iter().filter(|a| a.addr.as_str() == template).collect()
}

/// A folder with the files of a mix, the key of `chat` and stand-ins for the engines, in which the script runs. A stand-in tells
/// what it was given, counts its starts, and ends at once if there is a file `die.DEVICES`.
struct Machine {
    folder: tempfile::TempDir,
    script: Child,
}

impl Machine {
    fn start(mix: &str, variables: &[(&str, &str)], dying: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for file in of(&artifacts(), mix) {
            let content = file.content.replace("/run/rhumb", &at.to_string_lossy());
            // The pause before an engine is started again.
            let content = content.replace("sleep 10 &", "sleep 0.2 &");
            std::fs::write(at.join(&file.name), content).unwrap();
        }
        std::fs::create_dir(at.join("8000")).unwrap();
        std::fs::write(at.join("8000/api_key"), "k e'y\n").unwrap();
        if let Some(devices) = dying {
            std::fs::write(at.join(format!("die.{devices}")), "").unwrap();
        }
        let stand_in = r#"#!/bin/bash
cd "$(dirname "$0")"
d="$CUDA_VISIBLE_DEVICES"
printf '%s\0' "$RHUMB_WORKLOAD" "${VLLM_API_KEY:-none}" "$@" > "tmp.$d"
mv "tmp.$d" "out.$d"
echo "$$" >> "starts.$d"
if test -e "die.$d"; then rm "die.$d"; exit 3; fi
exec sleep 60
"#;
        for engine in ["vllm", "python3"] {
            std::fs::write(at.join(engine), stand_in).unwrap();
            std::fs::set_permissions(at.join(engine), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", at.display(), std::env::var("PATH").unwrap());
        let script = Command::new("bash")
            .arg(at.join(render::START_SCRIPT))
            .env("PATH", path)
            .env_remove("VLLM_API_KEY")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at.join("errors")).unwrap())
            .spawn()
            .unwrap();
        Machine { folder, script }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Process ids of the starts of the engine on these devices.
    fn starts(&self, devices: &str) -> Vec<String> {
        self.read(&format!("starts.{devices}")).lines().map(str::to_owned).collect()
    }

    fn wait(&self, what: &str, until: impl Fn() -> bool) {
        let begun = Instant::now();
        while !until() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {}", self.read("errors"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the engine on these devices was given: workload, key, arguments.
    fn given(&self, devices: &str) -> Vec<String> {
        self.wait(devices, || !self.starts(devices).is_empty());
        self.read(&format!("out.{devices}")).split_terminator('\0').map(str::to_owned).collect()
    }

    fn stop(&mut self) {
        let id = self.script.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.script.wait().unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.script.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.stop();
        }
    }
}

/// Whether a process runs; one that has ended and waits to be reaped has no command line.
fn runs(id: &str) -> bool {
    std::fs::read(Path::new("/proc").join(id).join("cmdline")).is_ok_and(|line| !line.is_empty())
}

fn after<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    words.iter().position(|w| w == flag).and_then(|i| words.get(i + 1)).map(String::as_str)
}

#[test]
fn files_are_valid_and_hashed() {
    let (spec, _, placement) = together();
    let graph = bound(&spec, &placement);
    let artifacts = artifacts();
    let names = |mix| -> Vec<&str> { of(&artifacts, mix).iter().map(|a| a.name.as_str()).collect() };
    assert_eq!(names(FULL), ["engine-8000.env", "engine-8001.env", "start.sh"]);
    assert_eq!(names(OTHER), ["engine-8000.env", "engine-8001.env", "engine-8003.env", "start.sh"]);
    for artifact in &artifacts {
        let mut bash = Command::new("bash").args(["-n", "-c", &artifact.content]).spawn().unwrap();
        assert!(bash.wait().unwrap().success(), "{}", artifact.content);
        let text = &artifact.content;
        assert!(text.ends_with('\n') && !text.contains("\n\n\n") && text.is_ascii(), "{text}");
    }
    let broken = of(&artifacts, FULL)[2].content.replace("done", "");
    let bash = Command::new("bash").args(["-n", "-c", &broken]).stderr(Stdio::null()).status().unwrap();
    assert!(!bash.success(), "the check finds a planted fault");

    let hashed = render::with_hashes(graph, &artifacts);
    let template = hashed.get(&format!("{FULL}/launch_template")).unwrap();
    let Attr::Map(files) = &template.attributes["environments_sha256"] else { panic!("a map") };
    let [first, second, script] = of(&artifacts, FULL)[..] else { panic!("three files") };
    assert_eq!(files["engine-8000.env"], Attr::from(first.sha256.as_str()));
    assert_eq!(files["engine-8001.env"], Attr::from(second.sha256.as_str()));
    assert_eq!(template.attributes["start_script_sha256"], Attr::from(script.sha256.as_str()));
    assert!(hashed.get(FULL).unwrap().attributes.contains_key("launch_template_sha256"));
    assert_eq!(render::artifacts(&hashed).unwrap(), artifacts);
}

#[test]
fn every_engine_has_its_devices_port_and_environment() {
    let machine = Machine::start(OTHER, &[("RHUMB_MODEL_8001", "o/four-bit")], None);
    let chat = machine.given("0,1,2,3");
    assert_eq!(chat[..4], ["services.chat", "k e'y", "serve", "Qwen/Qwen3-8B"]);
    assert_eq!((after(&chat, "--port"), after(&chat, "--tensor-parallel-size")), (Some("8000"), Some("4")));
    assert_eq!(after(&chat, "--revision"), Some("it's -x"));
    // Keys of one service are nothing to the others.
    let rank = machine.given("4,5");
    assert_eq!(rank[..4], ["services.rank", "none", "serve", "o/four-bit"]);
    assert_eq!((after(&rank, "--port"), after(&rank, "--tensor-parallel-size")), (Some("8001"), Some("2")));
    let draft = machine.given("6");
    assert_eq!(draft[..4], ["services.draft", "none", "-m", "sglang.launch_server"]);
    assert_eq!(after(&draft, "--port"), Some("8003"));

    let full = Machine::start(FULL, &[("RHUMB_MODEL_8001", "o/four-bit")], None);
    assert_eq!(after(&full.given("4,5"), "--port"), Some("8001"));
    assert_eq!(after(&full.given("6,7"), "--port"), Some("8002"));
}

#[test]
fn an_engine_that_ends_is_started_again_alone_and_all_end_with_the_script() {
    let mut machine = Machine::start(OTHER, &[("RHUMB_MODEL_8001", "o/four-bit")], Some("6"));
    machine.wait("started again", || machine.starts("6").len() == 2);
    assert!(machine.read("errors").contains("engine_8003 on port 8003 ended"), "{}", machine.read("errors"));
    for devices in ["0,1,2,3", "4,5"] {
        machine.given(devices);
        assert_eq!(machine.starts(devices).len(), 1, "{devices}");
    }
    let engines = ["0,1,2,3", "4,5", "6"].map(|d| machine.starts(d).pop().unwrap());
    // A process has no command line for a moment while it becomes another program.
    machine.wait("all run", || engines.iter().all(|id| runs(id)));
    machine.stop();
    machine.wait("all ended", || !engines.iter().any(|id| runs(id)));
}

#[test]
fn an_engine_that_lacks_something_says_so_and_the_others_run() {
    let machine = Machine::start(OTHER, &[], None);
    machine.given("0,1,2,3");
    machine.given("6");
    let said = "RHUMB_MODEL_8001: set it to the repository or folder of the checkpoint";
    machine.wait("said", || machine.read("errors").contains(said));
    assert!(machine.starts("4,5").is_empty());
}

#[test]
fn an_engine_that_cannot_be_started_is_refused_by_its_pool() {
    let (spec, _, mut placement) = together();
    placement.workloads.get_mut("services.chat").unwrap().pools[1].engine.name = EngineName::Trtllm;
    let error = render::artifacts(&bound(&spec, &placement)).unwrap_err();
    let RenderError::Unsupported { addr, reason, .. } = &error else { panic!("{error}") };
    assert_eq!(addr, "services.chat/aws/eu-west-1/p4d.24xlarge/2");
    assert_eq!(reason, "trtllm-serve does not check API keys");
}
