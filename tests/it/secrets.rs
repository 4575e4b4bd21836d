//! No secret is in anything that the program writes or says. Recognisable ones are planted wherever one may come from, and everything is
//! searched for them, as they are and as JSON, URLs, base64 and hexadecimal have them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::apply::process::Sim;
use crate::cli::{rhumb, run};
use crate::extent::{is_many, one_in};

/// Variables that hold a secret as it is. The values have characters that encodings change.
const PLAIN: [&str; 12] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TOKEN",
    "AZURE_FEDERATED_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_PASSWORD",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "API_KEYS",
    "RHUMB_API_KEY",
    "RHUMB_VAR_unused_secret",
];

/// Variables whose values are base64.
const ENCODED: [&str; 3] = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"];

/// The secrets by what they were planted in.
struct Canaries(BTreeMap<String, String>);

/// One that nothing else contains.
fn canary(of: &str) -> String {
    let own: String = of.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("cAnArY/{own}+Zq9")
}

impl Canaries {
    fn planted() -> Self {
        let all = PLAIN.iter().chain(&ENCODED).copied();
        let more = ["SAS", "JSON", "FILE", "PROXY", "ENDPOINT", "ADDRESS", "LITERAL"];
        Canaries(all.chain(more).map(|name| (name.to_owned(), canary(name))).collect())
    }

    fn of(&self, name: &str) -> &str {
        &self.0[name]
    }

    /// The program with all of them in its environment, except those of a cloud that knows one key only.
    fn on(&self, command: &mut Command, except: Option<&str>) {
        let plain = PLAIN.iter().map(|name| (*name, self.of(name).to_owned()));
        let encoded = ENCODED.iter().map(|name| (*name, base64(self.of(name).as_bytes())));
        let open = [
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_REGION", "us-east-1"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ];
        let all = plain.chain(encoded).chain(open.map(|(name, value)| (name, value.to_owned())));
        command.envs(all.filter(|(name, _)| except.is_none_or(|except| !name.starts_with(except))));
    }

    /// Which of them are in a text, and in what form.
    fn found_in(&self, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            let is_there = |form: &str| text.windows(form.len()).any(|part| part == form.as_bytes());
            found.extend(
                forms(value)
                    .into_iter()
                    .filter(|form| is_there(form))
                    .map(|form| format!("{name} as {form}")),
            );
        }
        found
    }

    /// The same of every file below a folder.
    fn found_below(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path()) {
            found.extend(self.found_in(entry.as_os_str().as_encoded_bytes()));
            if entry.is_dir() {
                found.extend(self.found_below(&entry));
            } else {
                let more = self.found_in(&std::fs::read(&entry).expect("read"));
                found.extend(more.into_iter().map(|what| format!("{}: {what}", entry.display())));
            }
        }
        found
    }
}

/// A value as it is, percent-encoded, in hexadecimal, and in base64, wherever in a longer text it began.
fn forms(value: &str) -> Vec<String> {
    let percent = |upper: bool| -> String {
        let one = |b: u8| match b {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b if upper => format!("%{b:02X}"),
            b => format!("%{b:02x}"),
        };
        value.bytes().map(one).collect()
    };
    let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
    let mut forms = vec![value.to_owned(), percent(true), percent(false), hex, value.replace('/', "\\/")];
    for before in 0..3 {
        let text: Vec<u8> = [&b"\0\0"[..before], value.as_bytes()].concat();
        let encoded = base64(&text);
        // The first and the last characters depend on what is around it.
        let (from, to) = (before.div_ceil(3) * 4, text.len() / 3 * 4);
        forms.push(encoded[from..to].to_owned());
        forms.push(encoded[from..to].replace('+', "-").replace('/', "_"));
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A bucket that refuses everything and quotes the whole request, as clouds do that explain which text should have been signed.
fn quoting(status: &'static str) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let heard = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = Arc::clone(&all);
            std::thread::spawn(move || refuse(stream, status, &all));
        }
    });
    (url, heard)
}

fn refuse(mut stream: TcpStream, status: &str, heard: &Mutex<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    for line in reader.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.push_str(&line);
        head.push('\n');
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    heard.lock().expect("no other has panicked").push_str(&head);
    // Some say it where it is shown.
    let token = |line: &&str| {
        let line = line.to_lowercase();
        line.starts_with("x-amz-security-token:") || line.starts_with("authorization: bearer")
    };
    let told: Vec<&str> = head.lines().filter(token).collect();
    let told = told.join(" ");
    let body = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><Message>It differs. {told}</Message><CanonicalRequest>{head}</CanonicalRequest><Token-0>{head}\
         </Token-0></Error>"
    );
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Runs commands in a folder with every secret in the environment, and keeps what they say.
struct Desk {
    canaries: Canaries,
    folder: tempfile::TempDir,
    said: Vec<(String, String)>,
    except: Option<&'static str>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = std::fs::read_to_string("examples/support-chat/deploy.yaml").expect("read");
        let public =
            "endpoint: { exposure: public, tls_certificate: \"env:TLS_KEY\", api_keys: \"env:API_KEYS\" }";
        let text = text.replace("endpoint: { exposure: private }", public);
        std::fs::write(folder.path().join("deploy.yaml"), text).expect("written");
        Desk { canaries: Canaries::planted(), folder, said: Vec::new(), except: None }
    }

    fn hears(&self, args: &[&str], more: &[(&str, &str)]) -> (String, i32) {
        let mut command = rhumb();
        self.canaries.on(command.current_dir(self.folder.path()), self.except);
        let (out, err, code) = run(command.args(args).envs(more.iter().copied()));
        (format!("{out}{err}"), code)
    }

    /// What it says, and how it ends.
    fn on(&mut self, args: &[&str], more: &[(&str, &str)]) -> (String, i32) {
        let (all, code) = self.hears(args, more);
        self.said.push((format!("{args:?}"), all.clone()));
        (all, code)
    }

    fn ok(&mut self, args: &[&str]) -> String {
        let (said, code) = self.on(args, &[]);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    fn fails(&mut self, args: &[&str], more: &[(&str, &str)], why: &str) {
        let (said, code) = self.on(args, more);
        assert!(code == 1 && said.contains(why), "{args:?} ended with {code}, and not with `{why}`: {said}");
    }

    fn leaks(&self) -> Vec<String> {
        let told = |(args, said): &(String, String)| {
            let found = self.canaries.found_in(said.as_bytes());
            found.into_iter().map(|what| format!("{args}: {what}: {said}")).collect::<Vec<_>>()
        };
        self.said.iter().flat_map(told).chain(self.canaries.found_below(self.folder.path())).collect()
    }
}

#[test]
fn no_secret_is_in_what_a_deployment_leaves_and_says() {
    let (sim, mut desk) = (Sim::start(), Desk::new());
    let there = ["--simulate", sim.url.as_str()];
    desk.ok(&["plan", ".", "-vv", "--out", "next.plan"]);
    desk.ok(&["plan", ".", "--json"]);
    desk.ok(&["show", "next.plan"]);
    desk.ok(&["show", "next.plan", "--json"]);
    desk.ok(&["check", "--plan", "next.plan"]);
    desk.ok(&[&["apply", "next.plan", "-vv"][..], &there].concat());
    desk.ok(&["graph", "."]);
    desk.ok(&["explain", "services.chat"]);
    desk.ok(&["state", "list"]);
    let pulled = desk.ok(&["state", "pull"]);
    assert!(pulled.contains("env:API_KEYS"), "the reference goes where the secret is needed: {pulled}");
    let thing = sim.inventory().pop().expect("something");
    sim.vanish(&thing.handle);
    desk.ok(&[&["refresh", ".", "--json", "-vv"][..], &there].concat());
    desk.ok(&[&["apply", ".", "--yes", "--json"][..], &there].concat());
    desk.ok(&["history", "--json"]);
    // Ended in the middle, with the journal as it is then.
    let (_, code) =
        desk.on(&[&["destroy", ".", "--yes"][..], &there].concat(), &[("RHUMB_DISK_FAULT", "20:abort-half")]);
    assert_eq!(code, -1);
    desk.ok(&[&["destroy", ".", "--yes", "-v"][..], &there].concat());
    assert_eq!(desk.leaks(), Vec::<String>::new());
}

#[test]
fn no_secret_is_in_an_error() {
    let mut desk = Desk::new();
    let secret = |name: &str| canary(name);
    let statuses = ["403 Forbidden", "400 Bad Request", "404 Not Found", "301 Moved Permanently"];
    for status in one_in(4, 1).cases(statuses, |_| [()]) {
        let (url, heard) = quoting(status);
        let key = format!(
            "{{\"gcs_base_url\": \"{url}\", \"disable_oauth\": true, \"client_email\": \"\", \"private_key\": \"{}\", \"private_key_id\": \"{}\"}}",
            secret("JSON"),
            secret("JSON")
        );
        for (state, endpoint) in
            [("s3://bucket/p", "AWS_ENDPOINT_URL"), ("az://bucket/p", "AZURE_STORAGE_ENDPOINT")]
        {
            desk.fails(&["state", "list", "--state", state, "-vv"], &[(endpoint, &url)], state);
        }
        let sas = format!("sv=2024-01-01&sig={}", secret("SAS").replace('/', "%2F").replace('+', "%2B"));
        // Of several ways to say who asks, the first known one is taken.
        desk.except = Some("AZURE_");
        let key_of_account = base64(secret("AZURE_STORAGE_ACCOUNT_KEY").as_bytes());
        for way in [("AZURE_STORAGE_SAS_TOKEN", &sas), ("AZURE_STORAGE_ACCOUNT_KEY", &key_of_account)] {
            let with = [
                ("AZURE_STORAGE_ENDPOINT", url.as_str()),
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                (way.0, way.1),
            ];
            desk.fails(&["state", "list", "--state", "az://bucket/p"], &with, "az://bucket/p");
        }
        desk.except = None;
        let of_key = [("GOOGLE_SERVICE_ACCOUNT_KEY", key.as_str()), ("GOOGLE_ALLOW_HTTP", "true")];
        desk.fails(&["plan", ".", "--state", "gs://bucket/p", "--json"], &of_key, "gs://bucket/p");
        // What the bucket quotes it has heard.
        let heard = heard.lock().expect("no other has panicked");
        let found = desk.canaries.found_in(heard.as_bytes());
        for name in ["AWS_SESSION_TOKEN", "AZURE_STORAGE_TOKEN", "SAS"] {
            assert!(found.iter().any(|what| what.starts_with(name)), "{name}: {heard}");
        }
    }
    // What is no key, and what is one of somebody else.
    let file = tempfile::NamedTempFile::new().expect("a file");
    for text in [
        secret("FILE"),
        format!("{{\"private_key\": \"{}\"}}", secret("FILE")),
        format!("\"{}\"", secret("FILE")),
    ] {
        std::fs::write(file.path(), &text).expect("written");
        let path = file.path().to_str().expect("a name");
        for name in ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"] {
            desk.fails(&["state", "list", "--state", "gs://bucket/p"], &[(name, path)], "gs://bucket/p");
        }
        desk.fails(
            &["state", "list", "--state", "gs://bucket/p"],
            &[("GOOGLE_SERVICE_ACCOUNT_KEY", &text)],
            "gs://bucket/p",
        );
    }
    // Beside other ways to say who asks, and alone.
    let (url, _) = quoting("403 Forbidden");
    for except in [None, Some("AZURE_")] {
        desk.except = except;
        let with = [
            ("AZURE_STORAGE_ENDPOINT", url.as_str()),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            ("AZURE_STORAGE_ACCOUNT_KEY", &secret("AZURE_STORAGE_KEY")),
        ];
        desk.fails(&["state", "list", "--state", "az://bucket/p"], &with, "az://bucket/p");
    }
    desk.except = None;
    // In the address of a state.
    for address in [
        format!("s3://key:{}@bucket/p", secret("ADDRESS")),
        format!("s3://bucket/p?sig={}", secret("ADDRESS")),
    ] {
        desk.fails(&["state", "list", "--state", &address], &[], "an address has no");
    }
    // In a spec, as itself and by a variable.
    let spec = desk.folder.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).expect("read");
    for (written, variable) in
        [(secret("LITERAL"), ""), ("${var.key}".to_owned(), "variables: { key: { type: string } }\n")]
    {
        let other = tempfile::tempdir().expect("a folder");
        std::fs::write(
            other.path().join("deploy.yaml"),
            format!("{}\n{variable}", text.replace("env:API_KEYS", &written)),
        )
        .expect("written");
        let path = other.path().to_str().expect("a name");
        for command in [&["plan", path][..], &["validate", path], &["validate", path, "--json"]] {
            desk.fails(command, &[("RHUMB_VAR_key", &secret("LITERAL"))], "literal-secret");
        }
    }
    // In the address of a service, of a bucket and of a simulated cloud.
    let other = tempfile::tempdir().expect("a folder");
    let endpoint = format!("http://user:{}@127.0.0.1:1", secret("ENDPOINT"));
    let state = format!("state: {{ backend: s3, bucket: b, key: k, endpoint: \"{endpoint}\" }}");
    std::fs::write(other.path().join("deploy.yaml"), format!("{text}\n{state}\n")).expect("written");
    let path = other.path().to_str().expect("a name");
    desk.fails(&["plan", path], &[], "an address with credentials in it");
    desk.fails(&["refresh", "--state", "none.json", "--simulate", &endpoint], &[], "asks for no credentials");
    assert_eq!(desk.leaks(), Vec::<String>::new());
}

/// In the address of a proxy, or of an endpoint. What does not answer is asked again and again for a while: in few tests it answers, and refuses.
#[test]
fn no_secret_is_in_the_address_of_what_does_not_answer() {
    let mut desk = Desk::new();
    let (refuses, _) = quoting("403 Forbidden");
    let at = if is_many() { "127.0.0.1:1" } else { refuses.trim_start_matches("http://") };
    let dead = |name: &str| format!("http://user:{}@{at}", canary(name).replace('/', "%2F"));
    let mut ways = vec![
        [("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()), ("HTTP_PROXY", dead("PROXY"))],
        [("AWS_ENDPOINT_URL", dead("ENDPOINT")), ("NO_PROXY", "*".to_owned())],
    ];
    if is_many() {
        ways.push([("AWS_ENDPOINT_URL", "https://127.0.0.1:1".to_owned()), ("HTTPS_PROXY", dead("PROXY"))]);
    }
    let hear = |way: &[(&str, String)]| {
        let way: Vec<(&str, &str)> = way.iter().map(|(name, value)| (*name, value.as_str())).collect();
        desk.hears(&["state", "list", "--state", "s3://bucket/p", "-vv"], &way)
    };
    let said: Vec<(String, i32)> = std::thread::scope(|scope| {
        let all: Vec<_> = ways.iter().map(|way| scope.spawn(|| hear(way))).collect();
        all.into_iter().map(|one| one.join().expect("not panicked")).collect()
    });
    for (said, code) in said {
        assert!(code == 1 && said.contains("s3://bucket/p/head: cannot read it: "), "{code}: {said}");
        desk.said.push(("state list".to_owned(), said));
    }
    assert_eq!(desk.leaks(), Vec::<String>::new());
}

/// The search finds what it is to find, in every form and place.
#[test]
fn a_planted_secret_is_found() {
    let mut desk = Desk::new();
    assert_eq!(desk.leaks(), Vec::<String>::new());
    let secret = desk.canaries.of("AWS_SESSION_TOKEN").to_owned();
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{secret}{before}");
        let found = desk.canaries.found_in(base64(text.as_bytes()).as_bytes());
        assert!(found.iter().any(|what| what.starts_with("AWS_SESSION_TOKEN as ")), "{before}: {found:?}");
    }
    for form in [
        secret.clone(),
        secret.replace('/', "%2F").replace('+', "%2B"),
        secret.replace('/', "%2f").replace('+', "%2b"),
    ] {
        assert_eq!(desk.canaries.found_in(format!("a {form} b").as_bytes()).len(), 1, "{form}");
    }
    // In a file that the program makes, deep in a folder, in a name, and in what it says.
    desk.ok(&["plan", ".", "--out", "next.plan"]);
    let plan = desk.folder.path().join("next.plan");
    let text = std::fs::read_to_string(&plan).expect("read");
    std::fs::write(&plan, format!("{text}{secret}")).expect("written");
    assert_eq!(desk.leaks().len(), 1);
    std::fs::write(&plan, text).expect("written");
    let deep = desk.folder.path().join("a/b");
    std::fs::create_dir_all(&deep).expect("made");
    std::fs::write(deep.join("c"), &secret).expect("written");
    assert_eq!(desk.leaks().len(), 1);
    std::fs::remove_dir_all(desk.folder.path().join("a")).expect("removed");
    desk.on(&["plan", &secret], &[]);
    assert_eq!(desk.leaks().len(), 1, "{:?}", desk.said);
}

/// A deployment whose state is in a bucket; the bucket's own objects are searched too.
pub fn searched_in_the_bucket(address: &str, objects: impl FnOnce() -> BTreeMap<String, Vec<u8>>) {
    let (sim, mut desk) = (Sim::start(), Desk::new());
    desk.except = address.starts_with("az:").then_some("AZURE_");
    let there = ["--simulate", sim.url.as_str(), "--state", address];
    desk.ok(&[&["apply", ".", "--yes", "-vv"][..], &there].concat());
    desk.ok(&["state", "pull", "--state", address]);
    let objects = objects();
    assert!(objects.len() > 3, "{:?}", objects.keys());
    for (key, bytes) in objects {
        assert_eq!(desk.canaries.found_in(&bytes), Vec::<String>::new(), "{key}");
    }
    assert_eq!(desk.leaks(), Vec::<String>::new());
}
