//! Server and client, over real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use rhumb_api::conformance::{LINEAGE, order, token};
use rhumb_api::{
    Attr, Call, Cloud, ErrorKind, Handle, Observed, Order, Owner, Provider, Reply, ResourceKind, Scope,
    Status,
};
use rhumb_sim::server::{Clock, ROUTES, serve};
use rhumb_sim::{Client, ConnectError, Event, Faults, Rule, Span, Verb, What, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::place;

const FAST: Clock = Clock::Real { speed: 1_000 };

async fn start(world: World, clock: Clock) -> (String, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, world, clock));
    let client = Client::connect(&url).await.unwrap();
    (url, client)
}

fn network(n: u64) -> Call {
    Call::Create(order(&place(), ResourceKind::Network, token(n), &BTreeMap::new()))
}

fn hold(what: What) -> World {
    let rule = Rule { nth: None, verb: Some(Verb::Create), kind: None, address: None, times: Some(1), what };
    World { rules: vec![rule], ..World::default() }
}

async fn made(client: &Client, call: &Call) -> Observed {
    match client.call(call).await {
        Ok(Reply::One(Some(seen))) => seen,
        other => panic!("{other:?}"),
    }
}

async fn ready(client: &Client, handle: &Handle) -> Observed {
    loop {
        let seen = made(client, &Call::Read(handle.clone())).await;
        if seen.status == Status::Ready {
            return seen;
        }
    }
}

#[tokio::test]
async fn what_is_asked_is_done() {
    let (url, client) = start(World { list_lag_ms: 7, ..World::default() }, FAST).await;
    assert!(client.simulated());
    assert_eq!(client.clouds(), [Cloud::Aws, Cloud::Azure, Cloud::Gcp, Cloud::Site]);
    assert_eq!(client.guarantees().list_lag_ms, 7);
    let seen = made(&client, &network(1)).await;
    assert_eq!(made(&client, &network(1)).await.handle, seen.handle);
    let seen = ready(&client, &seen.handle).await;
    let scope = Scope {
        cloud: place().cloud,
        region: place().region,
        lineage: LINEAGE.to_owned(),
        token: Some(token(1)),
    };
    let listed = client.call(&Call::List(scope)).await;
    assert_eq!(listed, Ok(Reply::Many(vec![seen.clone()])));
    let other = Client::connect(&format!("{url}/")).await.unwrap();
    assert!(matches!(other.call(&Call::Delete(seen.handle.clone())).await, Ok(Reply::One(Some(_)))));
    while client.call(&Call::Read(seen.handle.clone())).await != Ok(Reply::One(None)) {}
    assert_eq!(client.call(&Call::Delete(seen.handle.clone())).await, Ok(Reply::One(None)));
    let bad = Call::Read(Handle { region: String::new(), ..seen.handle });
    assert_eq!(client.call(&bad).await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn strings_are_pulled() {
    let (_, client) = start(World::default(), FAST).await;
    let control = client.control();
    let seen = made(&client, &network(1)).await;
    let seen = ready(&client, &seen.handle).await;
    assert_eq!(control.inventory(Some(LINEAGE)).await.unwrap(), vec![seen.clone()]);
    assert!(control.inventory(Some("another")).await.unwrap().is_empty());
    control.set_attribute(&seen.handle, "zones", Some(Attr::Int(9))).await.unwrap();
    assert_eq!(ready(&client, &seen.handle).await.attributes["zones"], Attr::Int(9));
    control.untag(&seen.handle).await.unwrap();
    let nobodys = Some(Observed { tags: None, ..seen.clone() });
    let read = client.call(&Call::Read(seen.handle.clone())).await.unwrap();
    let Reply::One(Some(bare)) = read else { panic!("{read:?}") };
    assert_eq!(Some(Observed { attributes: seen.attributes.clone(), ..bare.clone() }), nobodys);
    let mut takes = order(&place(), ResourceKind::Network, token(2), &BTreeMap::new());
    let update = |takes: &Order| Call::Update(seen.handle.clone(), takes.clone());
    assert_eq!(client.call(&update(&takes)).await.unwrap_err().kind, ErrorKind::Invalid);
    takes.takes_over = Some(Owner::Nobody);
    client.call(&update(&takes)).await.unwrap();
    assert_eq!(ready(&client, &seen.handle).await.tags, Some(takes.tags));
    control.vanish(&seen.handle).await.unwrap();
    assert!(control.untag(&seen.handle).await.unwrap_err().to_string().starts_with("404"));
    assert!(control.vanish(&seen.handle).await.unwrap_err().to_string().starts_with("404"));
    let other = Handle { id: "net-planted".to_owned(), ..seen.handle.clone() };
    let planted = Observed { handle: other, tags: None, ..seen };
    control.plant(&planted).await.unwrap();
    assert!(control.plant(&planted).await.unwrap_err().to_string().starts_with("409"));
    assert_eq!(control.inventory(None).await.unwrap(), vec![planted]);
    assert!(control.log().await.unwrap().iter().any(|entry| entry.event == Event::Made));
    assert_eq!(control.bill().await.unwrap().machine_ms, 0);
    let world = World { timeout_ms: 1_234, ..control.world().await.unwrap() };
    assert_eq!(control.set_world(&world).await.unwrap(), world);
    control.reset(&World::default()).await.unwrap();
    assert!(control.inventory(None).await.unwrap().is_empty());
    assert_eq!(control.world().await.unwrap(), World::default());
    assert!(control.advance(1).await.unwrap_err().to_string().starts_with("409"));
}

#[tokio::test]
async fn a_clock_is_moved_by_hand() {
    let (_, client) = start(World::default(), Clock::Manual).await;
    let control = client.control();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(&network(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!asked.is_finished());
    control.advance(1_000).await.unwrap();
    assert!(asked.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_killed_caller_leaves_a_held_call_without_effect_or_with_it() {
    for (what, effects) in [(What::HoldBefore, 0), (What::HoldAfter, 1)] {
        let (url, client) = start(hold(what), FAST).await;
        let control = client.control();
        let body = serde_json::to_vec(&network(1)).unwrap();
        let mut socket = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        let head = format!("POST /v1/call HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
        let held = control.held(Duration::from_secs(20)).await.unwrap();
        assert_eq!((held.len(), &held[0].call), (1, &network(1)));
        drop(socket);
        while !control.held(Duration::ZERO).await.unwrap().is_empty() {}
        assert_eq!(control.inventory(None).await.unwrap().len(), effects);
        let log = control.log().await.unwrap();
        assert!(log.iter().any(|entry| entry.event == Event::Abandoned));
        // The next one finds it, or makes it.
        made(&client, &network(1)).await;
        assert_eq!(control.inventory(None).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_held_call_is_released() {
    let (_, client) = start(hold(What::HoldAfter), FAST).await;
    let control = client.control();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(&network(1)).await }
    });
    let held = control.held(Duration::from_secs(20)).await.unwrap();
    control.release(held[0].number).await.unwrap();
    assert!(control.release(held[0].number).await.unwrap_err().to_string().starts_with("404"));
    assert!(asked.await.unwrap().is_ok());
    assert!(control.held(Duration::from_millis(5)).await.unwrap().is_empty());
}

#[tokio::test]
async fn no_reply_is_an_unknown_outcome() {
    let (_, client) = start(hold(What::HoldBefore), FAST).await;
    let hasty = client.clone().with_timeout(Duration::from_millis(50));
    let error = hasty.call(&network(1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome);
    assert!(error.message.contains("50 ms"), "{error}");

    // A reset answers with a status of 503.
    client.control().reset(&hold(What::HoldBefore)).await.unwrap();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(&network(1)).await }
    });
    client.control().held(Duration::from_secs(20)).await.unwrap();
    client.control().reset(&World::default()).await.unwrap();
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome);
    assert!(error.message.contains("503"), "{error}");
}

/// Answers the first request properly, as a cloud's, and each other one with what is given, then hangs up.
async fn impostor(reply: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let promises = r#"{"deduplicates":true,"list_lag_ms":0,"call_lag_ms":0}"#;
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", promises.len());
        let first = format!("{head}{promises}");
        let mut replies = [first.as_str()].into_iter().chain(std::iter::repeat(reply));
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 65_536];
            drop(socket.read(&mut request).await);
            drop(socket.write_all(replies.next().unwrap().as_bytes()).await);
        }
    });
    Client::connect(&url).await.unwrap()
}

#[tokio::test]
async fn half_replies_and_nonsense_are_unknown_outcomes_and_refusals_are_invalid() {
    let unknown = [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Ok\"",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"Ok\":{\"many\":[]}}",
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "SMTP\r\n\r\n",
    ];
    for reply in unknown {
        let error = impostor(reply).await.call(&network(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownOutcome, "{reply:?}");
    }
    let reply = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let error = impostor(reply).await.call(&network(1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let Err(ConnectError::NoCloud(message)) = Client::connect(&url).await else { panic!() };
    assert!(message.contains("no connection"), "{message}");
    for bad in ["https://127.0.0.1:1", "http://example.com", "127.0.0.1:1", "http://127.0.0.1:1/v1", ""] {
        assert!(matches!(Client::connect(bad).await, Err(ConnectError::Address(_))), "{bad}");
    }
    // A server that goes away between calls.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, World::default(), FAST));
    let client = Client::connect(&url).await.unwrap();
    server.abort();
    drop(server.await);
    let error = loop {
        let error = client.call(&network(1)).await;
        match error {
            Err(error) if error.message.contains("no connection") => break error,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(error.kind, ErrorKind::UnknownOutcome);
}

#[tokio::test]
async fn only_loopback_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert!(serve(listener, World::default(), FAST).await.is_err());
}

/// Sends a request and returns status and body.
async fn raw(url: &str, request: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    let read = socket.read_to_end(&mut reply);
    drop(tokio::time::timeout(Duration::from_secs(10), read).await.unwrap());
    let text = String::from_utf8_lossy(&reply).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_json() {
    let (url, client) = start(World::default(), FAST).await;
    let huge = vec![b' '; 5 << 20];
    let cases: [(&str, &str, &[u8], u16); 9] = [
        ("POST", "/v1/call", b"{", 400),
        ("POST", "/v1/call", b"{\"read\": 1}", 400),
        ("POST", "/v1/call", &huge, 413),
        ("GET", "/v1/call", b"", 405),
        ("GET", "/v2/call", b"", 404),
        ("POST", "/v1/world", b"{\"unknown\": 1}", 400),
        ("POST", "/v1/set", b"{}", 400),
        ("GET", "/v1/held?timeout_ms=soon", b"", 400),
        ("POST", "/v1/reset", b"[1]", 400),
    ];
    for (method, path, body, status) in cases {
        let (got, text) = raw(&url, &request(method, path, body)).await;
        assert_eq!(got, status, "{method} {path} {text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json["error"].is_string(), "{text}");
    }
    made(&client, &network(1)).await;
}

/// The table says of each path what it takes: nothing else is taken there, and nothing at a path that it lacks.
#[tokio::test]
async fn what_is_listed_is_answered_and_by_its_method_alone() {
    let (url, client) = start(World::default(), FAST).await;
    for route in ROUTES {
        let path = format!("/v1{}", route.path);
        let query = if route.path == "/held" { "?timeout_ms=1" } else { "" };
        let (status, text) = raw(&url, &request(route.method, &format!("{path}{query}"), b"")).await;
        assert!(![404, 405].contains(&status), "{} {path}: {text}", route.method);
        let takes = |method| ROUTES.iter().any(|other| (other.method, other.path) == (method, route.path));
        for method in ["GET", "POST"].into_iter().filter(|method| !takes(method)) {
            assert_eq!(raw(&url, &request(method, &path, b"")).await.0, 405, "{method} {path}");
        }
    }
    assert_eq!(raw(&url, &request("GET", "/v1/nothing", b"")).await.0, 404);
    made(&client, &network(1)).await;
}

/// A doubled reply is one over HTTP: the second one comes to nobody, and nothing of it is left.
#[tokio::test]
async fn a_request_has_one_reply() {
    let faults = Faults { reply_duplicated_ppm: 1_000_000, ..Faults::default() };
    let latency_ms = Span { min: 1_000, max: 1_000 };
    let (_, client) = start(World { faults, latency_ms, ..World::default() }, Clock::Manual).await;
    let control = client.control();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(&network(1)).await }
    });
    while !asked.is_finished() {
        control.advance(500).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked.await.unwrap().is_ok());
    control.advance(60_000).await.unwrap();
    let log = control.log().await.unwrap();
    let count = |of: &Event| log.iter().filter(|entry| entry.event == *of).count();
    assert_eq!(count(&Event::Fault(What::DuplicateReply)), 1);
    assert_eq!((count(&Event::Answered(None)), count(&Event::AnsweredAgain)), (1, 0));
}

#[test]
fn arbitrary_bytes_break_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (url, client) = runtime.block_on(start(World::default(), FAST));
    let call = serde_json::to_vec(&network(1)).unwrap();
    let paths = ["call", "world", "reset", "set", "vanish", "plant", "release", "clock"];
    let config = ProptestConfig::with_cases(200);
    proptest!(config, |(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        which in 0..paths.len(),
        cut in 0..call.len(),
        byte in any::<u8>(),
    )| {
        let path = format!("/v1/{}", paths[which]);
        let mut bent = call.clone();
        bent[cut] = byte;
        for body in [&noise, &bent] {
            let (status, _) = runtime.block_on(raw(&url, &request("POST", &path, body)));
            prop_assert!((200..500).contains(&status), "{status}");
        }
        drop(runtime.block_on(async {
            let mut socket = TcpStream::connect(url.trim_start_matches("http://")).await?;
            socket.write_all(&noise).await
        }));
    });
    let now = runtime.block_on(client.control().world());
    assert!(now.is_ok());
}

#[tokio::test]
async fn a_client_knows_what_there_is_in_the_world_that_it_connected_to() {
    let mut world = World::default();
    world.regions.insert(Cloud::Aws, BTreeSet::from([place().region]));
    world.instance_types.insert(Cloud::Aws, BTreeSet::from([place().instance_type]));
    let (_, client) = start(world, FAST).await;
    let sample = order(&place(), ResourceKind::LaunchTemplate, token(1), &BTreeMap::new()).resource;
    assert_eq!(client.can(&sample), Ok(()));
    let elsewhere = rhumb_api::Resource { region: "us-east-1".to_owned(), ..sample.clone() };
    assert!(client.can(&elsewhere).unwrap_err().contains("us-east-1"));
    let mut other = sample;
    other.attributes.insert("instance_type", "m7i.nano".into());
    assert!(client.can(&other).unwrap_err().contains("m7i.nano"));
}
