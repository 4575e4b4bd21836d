//! The shape of the source, as data: who may use whom, where effects live, how large a file may be.
//!
//! Every rule is a function over [`Source`]s, so that each is also shown red on a planted fault.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// What each module may use of ours besides [`FOUNDATION`] and itself. A module that is not here is
/// an error, so that a new one is thought about.
const IMPORTS: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("math", &[]),
    ("decisions", &[]),
    ("spec", &[]),
    ("catalog", &["spec"]),
    ("perf", &["spec", "catalog"]),
    ("placement", &["spec", "catalog", "perf"]),
    ("graph", &["spec", "catalog", "placement"]),
    ("replay", &["spec", "catalog", "perf", "placement"]),
    ("optimize", &["spec", "catalog", "perf", "graph", "placement", "replay"]),
    ("calibrate", &["spec", "catalog", "perf"]),
    ("render", &["graph"]),
    ("experiment", &["spec", "catalog", "perf", "placement", "graph", "optimize", "render"]),
    ("explore", &["spec", "catalog", "perf", "placement", "replay", "optimize"]),
    ("state", &[]),
    ("plan", &["spec", "catalog", "perf", "placement", "graph", "render", "state"]),
    ("check", &["spec", "catalog", "perf", "graph", "placement", "replay", "state", "plan"]),
    ("report", &["spec", "catalog", "perf", "graph", "placement", "state", "plan", "check"]),
    ("gate", &["spec", "plan", "check", "report"]),
    ("apply", &["plan", "render", "state"]),
];

/// Modules that every other may use.
const FOUNDATION: &[&str] = &["diagnostic", "math"];

/// What has no row in [`IMPORTS`] because it may use everything: the front of the house.
const FRONT: &[&str] = &["cli", "lib", "main"];

/// Files that may allow what `clippy.toml` forbids: the only places with a clock, an environment and files.
const EFFECTS: &[&str] = &[
    "src/cli/mod.rs",
    "src/main.rs",
    // The disk that states are on.
    "src/state/disk.rs",
    // Programs of their own, for developers and the build.
    "src/tools/catalog/convert.rs",
    "src/tools/catalog/pack.rs",
    "src/tools/perf_convert/main.rs",
];

/// Lines beyond which a file is split.
const CEILING: usize = 600;

/// Files over the ceiling, each with its reason.
const LARGE: &[(&str, &str)] = &[];

/// A file: its path relative to the repository, and its text.
struct Source {
    path: String,
    text: String,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn fault(&self, offset: usize, what: impl Into<String>) -> Fault {
        let line = self.text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        Fault { path: self.path.clone(), line, what: what.into() }
    }

    /// The top-level module that the file belongs to: `spec` for `src/spec/yaml.rs`; none for the
    /// developers' tools, which are programs of their own.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/").filter(|inside| !inside.starts_with("tools/"))?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// How many modules deep the file's own module is: 1 for `src/spec/mod.rs`, 2 for `src/spec/yaml.rs`.
    fn depth(&self) -> usize {
        let segments = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { segments - 1 } else { segments }
    }
}

/// The text with comments, strings and characters blanked out, byte for byte, so that offsets keep
/// their meaning.
fn code_only(text: &str) -> Vec<u8> {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    while i < b.len() {
        let end = match b[i] {
            b'/' if b.get(i + 1) == Some(&b'/') => find(b, i, b"\n").unwrap_or(b.len()),
            b'/' if b.get(i + 1) == Some(&b'*') => block_comment_end(b, i),
            b'"' => string_end(b, i),
            b'r' if !(i > 0 && is_word(b[i - 1]) && b[i - 1] != b'b') => match raw_string_end(b, i) {
                Some(end) => end,
                None => i,
            },
            b'\'' => char_end(b, i).unwrap_or(i),
            _ => i,
        };
        for byte in &mut out[i..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end.max(i + 1);
    }
    out
}

fn find(b: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    b.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|i| from + i)
}

fn block_comment_end(b: &[u8], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i < b.len() {
        if b[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if b[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    b.len()
}

fn string_end(b: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < b.len() {
        match b[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    b.len()
}

fn raw_string_end(b: &[u8], start: usize) -> Option<usize> {
    let hashes = b[start + 1..].iter().take_while(|c| **c == b'#').count();
    if b.get(start + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    Some(find(b, start + 2 + hashes, &close).map_or(b.len(), |i| i + close.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(b: &[u8], start: usize) -> Option<usize> {
    if b.get(start + 1) == Some(&b'\\') {
        return find(b, start + 3, b"'").map(|i| i + 1);
    }
    let text = std::str::from_utf8(&b[start + 1..]).ok()?;
    let c = text.chars().next()?;
    let close = start + 1 + c.len_utf8();
    (b.get(close) == Some(&b'\'')).then_some(close + 1)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn word_at(code: &[u8], at: usize) -> &str {
    let len = code[at..].iter().take_while(|b| is_word(**b)).count();
    std::str::from_utf8(&code[at..at + len]).unwrap_or("")
}

fn skip_space(code: &[u8], mut at: usize) -> usize {
    while code.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Offsets of every whole word `word`.
fn words<'a>(code: &'a [u8], word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let n = word.len();
    (0..code.len().saturating_sub(n - 1)).filter(move |&i| {
        &code[i..i + n] == word.as_bytes()
            && (i == 0 || !is_word(code[i - 1]))
            && !code.get(i + n).is_some_and(|b| is_word(*b))
    })
}

/// `::` after white space at `at`: where it ends.
fn path_separator(code: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(code, at);
    code[at..].starts_with(b"::").then(|| skip_space(code, at + 2))
}

/// The first segments that follow a path prefix: one word, or each member of a brace group.
fn first_segments(code: &[u8], at: usize) -> Vec<(usize, String)> {
    if code.get(at) != Some(&b'{') {
        return vec![(at, word_at(code, at).to_owned())];
    }
    let (mut found, mut depth, mut i, mut fresh) = (Vec::new(), 0_usize, at, false);
    while i < code.len() {
        match code[i] {
            b'{' => {
                depth += 1;
                fresh = depth == 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b',' if depth == 1 => fresh = true,
            b if is_word(b) && fresh => {
                found.push((i, word_at(code, i).to_owned()));
                fresh = false;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Byte ranges of the items behind `#[cfg(test)]`.
fn test_code(code: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(start) = find(code, at, b"#[cfg(test)]") {
        let (mut depth, mut i) = (0_usize, start + 12);
        while i < code.len() {
            match code[i] {
                b'{' => depth += 1,
                b'}' if depth <= 1 => break,
                b'}' => depth -= 1,
                b';' if depth == 0 => break,
                _ => {}
            }
            i += 1;
        }
        ranges.push(start..i.min(code.len()));
        at = i.max(start + 12);
    }
    ranges
}

/// Every use of a top-level module of ours: offset and name.
fn uses(source: &Source, code: &[u8]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let root = if source.module() == Some("main") { "rhumb" } else { "crate" };
    for at in words(code, root) {
        if at > 0 && code[at - 1] == b'$' {
            continue;
        }
        if let Some(next) = path_separator(code, at + root.len()) {
            found.extend(first_segments(code, next));
        }
    }
    for at in words(code, "super") {
        // Only the first `super` of a chain, and only a chain that is long enough to reach the root.
        if code[..at].ends_with(b"super::") {
            continue;
        }
        let (mut supers, mut end) = (0, at);
        while word_at(code, end) == "super" {
            supers += 1;
            match path_separator(code, end + 5) {
                Some(next) => end = next,
                None => break,
            }
        }
        if supers >= source.depth() && supers > 0 {
            found.extend(first_segments(code, end).into_iter().filter(|(_, name)| known(name)));
        }
    }
    found
}

fn known(module: &str) -> bool {
    IMPORTS.iter().any(|(name, _)| *name == module) || FRONT.contains(&module)
}

fn wrong_imports(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let Some(module) = source.module() else { continue };
        if FRONT.contains(&module) {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            faults.push(source.fault(0, format!("module `{module}` has no row in the table of imports")));
            continue;
        };
        let code = code_only(&source.text);
        let tests = test_code(&code);
        let only_tests = source.path.ends_with("/tests.rs");
        for (at, name) in uses(source, &code) {
            let fine = name == module || FOUNDATION.contains(&name.as_str());
            if fine || allowed.contains(&name.as_str()) {
                continue;
            }
            // Unit tests may build their inputs with any stage; the checker's independence has no exception.
            let in_test = only_tests || tests.iter().any(|r| r.contains(&at));
            if in_test && !(module == "check" && name == "optimize" || name == "cli") {
                continue;
            }
            let what = if known(&name) {
                format!("`{module}` may not use `{name}` (it may use: {})", allowed.join(", "))
            } else {
                format!("`{module}` may not use `{name}` of the crate's root")
            };
            faults.push(source.fault(at, what));
        }
    }
    faults
}

fn wrong_effects(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in
        sources.iter().filter(|s| s.path.starts_with("src/") || s.path.starts_with("providers/api/"))
    {
        if EFFECTS.contains(&source.path.as_str()) {
            continue;
        }
        let code = code_only(&source.text);
        let mut at = 0;
        while let Some(hit) = find(&code, at, b"clippy::disallowed_") {
            at = hit + 1;
            faults.push(source.fault(hit, "only the effect modules may allow what clippy.toml forbids"));
        }
    }
    faults
}

fn too_large(sources: &[Source], excused: &[(&str, &str)]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = sources
        .iter()
        .filter(|s| !excused.iter().any(|(path, _)| *path == s.path))
        .filter(|s| s.text.lines().count() > CEILING)
        .map(|s| Fault {
            path: s.path.clone(),
            line: CEILING + 1,
            what: format!("{} lines; the ceiling is {CEILING}", s.text.lines().count()),
        })
        .collect();
    for (path, reason) in excused {
        let needed = sources.iter().any(|s| s.path == *path && s.text.lines().count() > CEILING);
        if !needed || reason.trim().is_empty() {
            faults.push(Fault {
                path: (*path).to_owned(),
                line: 0,
                what: "excused without need or reason".into(),
            });
        }
    }
    faults
}

fn forbidden_words(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let code = code_only(&source.text);
        for at in words(&code, "unsafe") {
            faults.push(source.fault(at, "`unsafe`"));
        }
        for name in ["todo", "unimplemented"] {
            for at in words(&code, name) {
                if code.get(at + name.len()) == Some(&b'!') {
                    faults.push(source.fault(at, format!("`{name}!`")));
                }
            }
        }
    }
    faults
}

/// Every Rust file of the repository, sorted by path.
fn all_sources() -> Vec<Source> {
    fn walk(root: &Path, folder: &Path, into: &mut Vec<Source>) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                into.push(Source { path: name, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "providers"] {
        walk(root, &root.join(folder), &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the walk must find the source");
    sources
}

fn assert_none(faults: &[Fault]) {
    let text: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "\n{}", text.join("\n"));
}

#[test]
fn modules_use_only_what_the_table_allows() {
    assert_none(&wrong_imports(&all_sources()));
}

#[test]
fn effects_live_in_the_effect_modules() {
    assert_none(&wrong_effects(&all_sources()));
}

#[test]
fn files_stay_under_the_ceiling() {
    assert_none(&too_large(&all_sources(), LARGE));
}

#[test]
fn no_unsafe_and_nothing_left_to_do() {
    assert_none(&forbidden_words(&all_sources()));
}

#[test]
fn the_table_has_no_cycle_and_no_stranger() {
    let mut done: BTreeSet<&str> = FOUNDATION.iter().copied().collect();
    // The rows are in an order in which each uses only rows above it, which is the proof.
    for (module, allowed) in IMPORTS {
        for used in *allowed {
            assert!(done.contains(used), "`{module}` uses `{used}`, which is not above it");
        }
        done.insert(module);
    }
    let check = IMPORTS.iter().find(|(m, _)| *m == "check").unwrap();
    assert!(!check.1.contains(&"optimize"), "the checker must not know the optimizer");
}

#[test]
fn every_module_of_the_crate_has_a_row() {
    let lib = all_sources().into_iter().find(|s| s.path == "src/lib.rs").unwrap();
    let code = code_only(&lib.text);
    let declared: Vec<&str> =
        words(&code, "mod").map(|at| word_at(&code, skip_space(&code, at + 3))).collect();
    assert!(declared.len() > 5, "{declared:?}");
    for module in declared {
        assert!(known(module), "`{module}` has no row");
    }
}

#[test]
fn a_planted_import_is_found_with_its_line() {
    let planted = [
        Source::new(
            "src/check/mod.rs",
            "//! [`crate::optimize`] in docs is fine.\nuse crate::spec::Spec;\nuse crate::optimize::place;\n",
        ),
        Source::new("src/spec/a.rs", "use crate::{diagnostic::Span, catalog::{Catalog, perf}, math};\n"),
        Source::new(
            "src/state/mod.rs",
            "fn f() {\n    let s = \"crate::cli\"; // crate::cli\n    crate::cli::run([]);\n}\n",
        ),
        Source::new("src/math/deep.rs", "use super::super::spec::Spec;\nuse super::Other;\n"),
        Source::new("src/perf/mod.rs", "use crate::{\n    PlanningInput,\n};\n"),
        Source::new("src/util/mod.rs", "fn helper() {}\n"),
        Source::new("src/check/tests.rs", "use crate::optimize;\nuse crate::report;\n"),
        Source::new(
            "src/plan/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::optimize::place;\n}\nuse crate::optimize::place;\n",
        ),
    ];
    let found: Vec<(String, usize)> = wrong_imports(&planted).into_iter().map(|f| (f.path, f.line)).collect();
    let expected = [
        ("src/check/mod.rs", 3),
        ("src/spec/a.rs", 1),
        ("src/state/mod.rs", 3),
        ("src/math/deep.rs", 1),
        ("src/perf/mod.rs", 2),
        ("src/util/mod.rs", 1),
        ("src/check/tests.rs", 1),
        ("src/plan/mod.rs", 5),
    ];
    let expected: Vec<(String, usize)> = expected.iter().map(|(p, l)| ((*p).to_owned(), *l)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_planted_effect_is_found() {
    let planted = [
        Source::new("src/spec/mod.rs", "\n#![allow(clippy::disallowed_methods)]\n"),
        Source::new("src/cli/mod.rs", "#![allow(clippy::disallowed_methods)]\n"),
        Source::new("src/plan/mod.rs", "// allow(clippy::disallowed_methods) is not for us\n"),
    ];
    let found = wrong_effects(&planted);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].line), ("src/spec/mod.rs", 2));
}

#[test]
fn a_planted_giant_is_found_and_an_idle_excuse_too() {
    let giant = Source::new("src/spec/big.rs", &"\n".repeat(CEILING + 1));
    let small = Source::new("src/spec/small.rs", &"\n".repeat(CEILING));
    let sources = [giant, small];
    assert_eq!(too_large(&sources, &[]).len(), 1);
    assert_eq!(too_large(&sources, &[("src/spec/big.rs", "a table")]).len(), 0);
    assert_eq!(too_large(&sources, &[("src/spec/big.rs", " ")]).len(), 1);
    assert_eq!(too_large(&sources, &[("src/spec/big.rs", "a"), ("src/spec/small.rs", "b")]).len(), 1);
}

#[test]
fn planted_words_are_found_only_in_code() {
    let marked = concat!(
        "fn f() {\n    to",
        "do!()\n}\nfn g<'a>(x: &'a str) -> char { '\"' }\nuns",
        "afe fn h() {}\n"
    );
    let quiet = "// unsafe todo!()\n/* unsafe /* nested */ todo!() */\nconst A: &str = \"todo!()\";\nconst B: &str = r#\"unsafe \" todo!()\"#;\n#![forbid(unsafe_code)]\nlet todo = 1;\n";
    let found = forbidden_words(&[Source::new("src/a.rs", marked), Source::new("src/b.rs", quiet)]);
    let lines: Vec<(&str, usize)> = found.iter().map(|f| (f.path.as_str(), f.line)).collect();
    assert_eq!(lines, [("src/a.rs", 5), ("src/a.rs", 2)]);
}
