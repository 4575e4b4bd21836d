//! The commands about spec files, run as a user runs them: files that cannot be read, validate, fmt,
//! schema, init, completions, man.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const GOOD: &str = "rhumb: 1\nname: x\nmodels: { m: { source: Qwen/Qwen3-32B } }\nservices:\n  s:\n    model: m\n    traffic: { peak: 1 req/s, input_tokens: 100, output_tokens: 10 }\n    slo: { ttft: { p95: 1s } }\n";

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn rhumb(dir: &Path, args: &[&str]) -> Run {
    rhumb_with(dir, args, &[])
}

fn rhumb_with(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = Command::cargo_bin("rhumb").expect("built");
    command.env_clear().args(args).current_dir(dir);
    for (name, value) in environment {
        command.env(name, value);
    }
    let output = command.output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("file");
    }
    dir
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let big = vec![b'#'; 1024 * 1024 + 1];
    let cases: &[(&[(&str, &[u8])], &str, &str, &str)] = &[
        (&[], "nowhere.yaml", "cannot-read", "there is no such file"),
        (&[], ".", "no-spec", "has no spec"),
        (&[("notes.txt", b"x")], "notes.txt", "not-a-spec", "is not a spec file"),
        (&[("a.yaml", b"rhumb: 1\nname: \xff\n")], "a.yaml", "not-utf8", "byte 15 is 0xff"),
        (&[("a.yaml", b"\xff\xfer\0h\0")], "a.yaml", "not-utf8", "UTF-16"),
        (&[("a.hcl", &big)], "a.hcl", "too-large", "larger than 1024 KiB"),
        (&[("a.yaml", b"")], ".", "empty-file", "`a.yaml` is empty"),
    ];
    for (files, path, code, text) in cases {
        let dir = folder(files);
        let run = rhumb(dir.path(), &["validate", path]);
        assert_eq!(run.code, 1, "{path}: {}", run.err);
        assert!(run.err.contains(code) && run.err.contains(text), "{path}: {}", run.err);
        let json: Value =
            serde_json::from_str(&rhumb(dir.path(), &["validate", path, "--json"]).out).unwrap();
        assert_eq!(json["schema"], "rhumb.diagnostics/1");
        assert_eq!(json["diagnostics"][0]["code"], *code);
        assert_eq!(json["ok"], false);
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_that_leads_to_itself_is_refused() {
    let dir = folder(&[]);
    std::os::unix::fs::symlink("a.yaml", dir.path().join("a.yaml")).unwrap();
    for path in ["a.yaml", "."] {
        let run = rhumb(dir.path(), &["validate", path]);
        assert_eq!(run.code, 1);
        assert!(run.err.contains("a symbolic link leads back to itself"), "{}", run.err);
    }
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    let run = rhumb(dir.path(), &["validate", "loop"]);
    assert!(run.err.contains("a symbolic link leads back to itself"), "{}", run.err);
}

#[test]
fn a_folder_is_merged_and_variables_have_an_order() {
    let dir = folder(&[
        ("a.yaml", b"rhumb: 1\nname: x\nvariables: { peak: { default: 1 } }\nmodels: { m: { source: Qwen/Qwen3-32B } }\n"),
        ("b.hcl", b"service \"s\" {\n  model = \"m\"\n  traffic {\n    peak         = \"${var.peak} req/s\"\n    input_tokens = 9\n    output_tokens = 9\n  }\n  slo { e2e = { p95 = \"1s\" } }\n}\n"),
        ("test.vars.yaml", b"peak: file\n"),
        (".hidden.yaml", b"not a spec"),
    ]);
    assert_eq!(rhumb(dir.path(), &["validate"]).code, 0);
    let parent = dir.path().parent().unwrap();
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(rhumb(parent, &["validate", name]).code, 0);
    assert_eq!(rhumb(parent, &["-C", name, "validate"]).code, 0);
    // The strongest value is the one that counts.
    let environment = [("RHUMB_VAR_peak", "environment"), ("RHUMB_VAR_other", "for another spec")];
    let told = |args: &[&str]| rhumb_with(dir.path(), &[&["validate"], args].concat(), &environment).err;
    assert!(told(&[]).contains("RHUMB_VAR_peak gives `environment`"), "{}", told(&[]));
    let file = ["--var-file", "test.vars.yaml"];
    assert!(told(&file).contains("--var-file test.vars.yaml gives `file`"), "{}", told(&file));
    assert_eq!(told(&["--var-file", "test.vars.yaml", "--var", "peak=3"]), "");
    assert!(told(&["--var", "peak"]).contains("write --var NAME=VALUE"));
}

#[test]
fn validate_says_what_there_is() {
    let dir = folder(&[("a.yaml", GOOD.as_bytes())]);
    let run = rhumb(dir.path(), &["validate"]);
    assert_eq!((run.code, run.out.as_str()), (0, "x is valid: 1 model, 1 service, 0 batches\n"));
    assert_eq!(rhumb(dir.path(), &["validate", "-q"]).out, "");
    let json: Value = serde_json::from_str(&rhumb(dir.path(), &["validate", "--json"]).out).unwrap();
    assert_eq!((&json["ok"], &json["diagnostics"]), (&Value::Bool(true), &serde_json::json!([])));
    // A warning does not fail.
    let unused = GOOD.replace("models: {", "models: { n: { source: Qwen/Qwen3-32B },");
    fs::write(dir.path().join("a.yaml"), unused).unwrap();
    let run = rhumb(dir.path(), &["validate"]);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("nothing uses the model `n`"), "{}", run.err);
    // No colour where nobody asked, colour where somebody did.
    fs::write(dir.path().join("a.yaml"), "rhumb: 2\n").unwrap();
    assert!(!rhumb(dir.path(), &["validate"]).err.contains('\u{1b}'));
    let forced = rhumb_with(dir.path(), &["validate"], &[("CLICOLOR_FORCE", "1")]);
    assert!(forced.err.contains('\u{1b}'));
    let both = rhumb_with(dir.path(), &["validate"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!both.err.contains('\u{1b}'));
}

#[test]
fn fmt_checks_writes_and_converts() {
    let ugly = GOOD.replace("name: x", "name:    x   # why");
    let dir = folder(&[("a.yaml", ugly.as_bytes())]);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let run = rhumb(dir.path(), &["fmt", "--check"]);
    assert_eq!((run.code, run.out.as_str()), (3, "a.yaml: not formatted\n"));
    assert_eq!(read("a.yaml"), ugly);
    assert_eq!(rhumb(dir.path(), &["fmt"]).code, 0);
    assert!(read("a.yaml").contains("name: x # why"), "{}", read("a.yaml"));
    let run = rhumb(dir.path(), &["fmt", "--check"]);
    assert_eq!((run.code, run.out.as_str()), (0, ""));

    let run = rhumb(dir.path(), &["fmt", "--to", "hcl"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("comments are lost, a.yaml.bak has them"), "{}", run.out);
    assert!(read("a.hcl").contains("service \"s\" {") && read("a.yaml.bak").contains("# why"));
    assert!(!dir.path().join("a.yaml").exists());
    assert_eq!(rhumb(dir.path(), &["validate"]).code, 0);
    // What is there is not overwritten.
    fs::write(dir.path().join("a.yaml"), GOOD).unwrap();
    let run = rhumb(dir.path(), &["fmt", "--to", "hcl", "a.yaml"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("is there already"), "{}", run.err);
    assert_eq!(read("a.yaml"), GOOD);

    fs::write(dir.path().join("b.hcl"), "x = = 1\n").unwrap();
    let run = rhumb(dir.path(), &["fmt", "--check", "b.hcl"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("b.hcl:1:5"), "{}", run.err);
    assert_eq!(rhumb(dir.path(), &["fmt", "--check", "--to", "hcl"]).code, 1);
}

#[test]
fn a_first_spec_is_valid_formatted_and_never_overwrites() {
    for lang in ["yaml", "hcl"] {
        for use_case in ["chat", "code", "rag", "embedding", "translation"] {
            let dir = folder(&[]);
            let args = ["init", "--use-case", use_case, "--model", "qwen/qwen3-32b", "--lang", lang];
            let run = rhumb(dir.path(), &args);
            assert_eq!(run.code, 0, "{lang} {use_case}: {}", run.err);
            let run = rhumb(dir.path(), &["validate"]);
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{lang} {use_case}");
            assert_eq!(rhumb(dir.path(), &["fmt", "--check"]).code, 0, "{lang} {use_case}");
            let run = rhumb(dir.path(), &args);
            assert_eq!(run.code, 1);
            assert!(run.err.contains("was not overwritten"), "{}", run.err);
        }
    }
    let dir = folder(&[]);
    let out = rhumb(dir.path(), &["init", "--use-case", "chat", "--model", "Qwen/Qwen3-32B", "--out", "-"]);
    assert!(out.out.starts_with("# ") && fs::read_dir(dir.path()).unwrap().next().is_none());
    let run = rhumb(dir.path(), &["init", "--use-case", "chatt", "--model", "Qwen/Qwen3-32B"]);
    assert!(run.code == 1 && run.err.contains("did you mean chat?"), "{}", run.err);
    let run = rhumb(dir.path(), &["init", "--use-case", "chat", "--model", "Qwen/Qwen3-32C"]);
    assert!(run.code == 1 && run.err.contains("did you mean `Qwen/Qwen3-32B`?"), "{}", run.err);
    let run = rhumb(dir.path(), &["init", "--use-case", "chat", "--model", "x", "--out", "deploy.hcl"]);
    assert!(run.code == 1 && run.err.contains("ends in .yaml"), "{}", run.err);
}

#[test]
fn schema_prints_json_and_text() {
    let dir = folder(&[]);
    let json: Value = serde_json::from_str(&rhumb(dir.path(), &["schema"]).out).unwrap();
    assert_eq!(json["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = rhumb(dir.path(), &["schema", "services.slo.ttft"]).out;
    assert!(text.contains("Time to first token"), "{text}");
    let json: Value =
        serde_json::from_str(&rhumb(dir.path(), &["schema", "budget.monthly", "--json"]).out).unwrap();
    assert!(json["description"].as_str().unwrap().contains("730 hours"));
    let run = rhumb(dir.path(), &["schema", "ttft"]);
    assert!(run.code == 1 && run.err.contains("did you mean `services.NAME.slo.ttft`"), "{}", run.err);
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let dir = folder(&[]);
    let commands: Vec<String> =
        rhumb::cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    assert!(commands.len() >= 13);
    let page = rhumb(dir.path(), &["man"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = rhumb(dir.path(), &["completions", shell]);
        assert_eq!(script.code, 0);
        for command in &commands {
            assert!(script.out.contains(command.as_str()), "{shell}: {command}");
            // The page's language writes a hyphen as `\\-`.
            assert!(page.out.replace("\\-", "-").contains(command.as_str()), "{command}");
        }
    }
    assert!(page.out.contains(".TH") && page.out.contains("EXIT STATUS"));
    assert!(rhumb(dir.path(), &["man", "fmt"]).out.contains("comments are lost"));
    assert_eq!(rhumb(dir.path(), &["man", "nothing"]).code, 1);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let rhumb = assert_cmd::cargo::cargo_bin("rhumb");
    for arguments in ["schema", "schema --markdown", "man", "completions bash"] {
        // The pipe has no reader from the start.
        let script = format!("'{}' {arguments} | true; test ${{PIPESTATUS[0]}} -eq 0", rhumb.display());
        let output = std::process::Command::new("bash").arg("-c").arg(script).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
