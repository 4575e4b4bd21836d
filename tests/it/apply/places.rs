//! Files of a state: behind links, damaged, and of a newer program.

use super::life::Desk;

const STATE: &str = "rhumb.state.json";

fn write(desk: &Desk, change: impl FnOnce(&str) -> String) {
    let path = desk.path().join(STATE);
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(path, change(&text)).expect("written");
}

/// Lock, journal, versions and the state itself are where the link leads to: both ways to it are one state.
#[cfg(unix)]
#[test]
fn a_state_behind_links_stays_one() {
    let desk = Desk::new();
    let other = desk.path().join("elsewhere");
    std::fs::create_dir(&other).expect("made");
    std::os::unix::fs::symlink("elsewhere/first", desk.path().join(STATE)).expect("linked");
    std::os::unix::fs::symlink("st.json", other.join("first")).expect("linked");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    desk.ok(&["refresh", "."]);
    for link in [desk.path().join(STATE), other.join("first")] {
        assert!(link.symlink_metadata().expect("there").file_type().is_symlink(), "{}", link.display());
    }
    let (by_link, _, code) = desk.here(&["state", "list", "--json"]);
    assert_eq!(code, 0);
    let (by_file, ..) = desk.here(&["state", "list", "--json", "--state", "elsewhere/st.json"]);
    assert_eq!(by_link, by_file);
    let beside = std::fs::read_dir(desk.path()).expect("listed").flatten();
    let names: Vec<String> = beside.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|n| n == STATE || !n.starts_with(STATE)), "{names:?}");
    desk.ok(&["destroy", ".", "--yes", "--quiet", "--state", "elsewhere/st.json"]);
    assert!(!desk.here(&["state", "list"]).0.contains("services.chat"));
}

/// A newer state is intact: nobody is told to move it away. A damaged one says where its state still is.
#[test]
fn a_newer_state_is_not_damaged_and_a_damaged_one_has_versions() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let whole = std::fs::read_to_string(desk.path().join(STATE)).expect("read");
    write(&desk, |text| text.replace("\"rhumb_state\": 7", "\"rhumb_state\": 8"));
    for args in [&["state", "restore"][..], &["plan", ".", "--refresh"], &["apply", ".", "--yes"]] {
        let (_, err, code) = desk.there(args);
        assert!(code != 0 && err.contains("use the rhumb that wrote it"), "{args:?}: {err}");
        assert!(!err.contains("away"), "{args:?}: {err}");
    }
    write(&desk, |_| whole[..whole.len() / 2].to_owned());
    let (_, err, _) = desk.here(&["plan", "."]);
    let (_, serial) = err.split_once("`rhumb state restore --to ").expect("told");
    let (serial, _) = serial.split_once('`').expect("a serial");
    for args in [&["state", "restore"][..], &["apply", ".", "--yes"], &["destroy", ".", "--yes"]] {
        let (_, err, _) = desk.there(args);
        assert!(err.contains("move rhumb.state.json and rhumb.state.json.journal away"), "{args:?}: {err}");
    }
    // As it says, also behind a link.
    let real = desk.path().join("real");
    std::fs::create_dir(&real).expect("made");
    for entry in std::fs::read_dir(desk.path()).expect("listed").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(STATE) {
            std::fs::rename(entry.path(), real.join(name)).expect("moved");
        }
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(format!("real/{STATE}"), desk.path().join(STATE)).expect("linked");
    let (_, err, _) = desk.here(&["plan", "."]);
    let (_, told) = err.split_once("move ").expect("told");
    let (file, _) = told.split_once(" and ").expect("a file");
    let file = desk.path().join(file);
    assert!(!file.symlink_metadata().expect("it is there").file_type().is_symlink(), "{}", file.display());
    std::fs::remove_file(&file).expect("removed");
    let _ = std::fs::remove_file(format!("{}.journal", file.display()));
    desk.ok(&["state", "restore", "--to", serial]);
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
}
