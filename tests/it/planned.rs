//! The examples, planned by the program as people plan them: once for all tests that look at what it says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::extent::pick;
use crate::plans::{rhumb, root};

/// An example as it is planned.
pub struct Planned {
    pub name: String,
    pub exit: i32,
    pub text: String,
    /// The exit with `--json`, and the document.
    pub json: (i32, String),
    /// The saved plan, if there is one.
    pub saved: Option<String>,
}

impl Planned {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved.plan");
        let (example, saved) = (format!("examples/{name}"), saved.to_str().unwrap());
        let (exit, text) = rhumb(&["plan", &example, "--out", saved]);
        // A saved plan is told as one that was made just now, which takes twice as long.
        let json = match pick(exit == 0, false, false) {
            true => rhumb(&["show", saved, "--json"]),
            false => rhumb(&["plan", &example, "--json"]),
        };
        Planned { name: name.to_owned(), exit, text, json, saved: std::fs::read_to_string(saved).ok() }
    }
}

/// All examples by name, planned once for all who look at them.
pub fn planned() -> &'static [Planned] {
    static PLANNED: LazyLock<Vec<Planned>> = LazyLock::new(|| {
        let listed = std::fs::read_dir(root().join("examples")).unwrap();
        let mut names: Vec<String> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let planned = Planned::new(name);
                        all.lock().unwrap().push(planned);
                    }
                });
            }
        });
        let mut all = all.into_inner().unwrap();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    });
    &PLANNED
}

/// One of them.
pub fn of(name: &str) -> &'static Planned {
    planned().iter().find(|planned| planned.name == name).expect("an example")
}
