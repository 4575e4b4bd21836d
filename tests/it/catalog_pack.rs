//! The build script that checks and packs the tables, on planted faults.

#[allow(dead_code)]
#[path = "../../src/tools/catalog/pack.rs"]
mod pack;

use std::collections::BTreeMap;

use pack::schema::{TABLES, table};

/// The tables of the repository.
fn tables() -> BTreeMap<&'static str, Vec<Vec<String>>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog/data");
    pack::read(&folder).unwrap()
}

fn rows_of(name: &str, lines: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let header: Vec<&str> = table(name).unwrap().columns.iter().map(|c| c.0).collect();
    let text = [&[header.join("\t").as_str()], lines].concat().join("\n");
    pack::rows(table(name).unwrap(), &text)
}

#[test]
fn the_form_of_a_table_is_checked() {
    let a = "aws\ta\tr1\tanycloud-aws\t2026-01-01";
    let b = "aws\tb\tr1\tanycloud-aws\t2026-01-01";
    assert_eq!(rows_of("offered", &[a, b]).unwrap().len(), 2);
    for (lines, wanted) in [
        (vec![b, a], "not in order"),
        (vec![a, a], "not in order, or a key occurs twice"),
        (vec!["aws\ta\tr1\t\t2026-01-01"], "no source"),
        (vec!["aws\ta\tr1\tx\t"], "no as_of"),
        (vec!["aws\ta\tr1\tx"], "4 cells, not 5"),
        (vec!["aws\t a\tr1\tx\t2026-01-01"], "is not a Text"),
    ] {
        let error = rows_of("offered", &lines).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    for (price, sound) in
        [("55.04", true), ("", true), ("NaN", false), ("1e3", false), ("-1", false), ("x", false)]
    {
        let line = format!("aws\ta\tr1\ton_demand\t\t{price}\tx\t2026-01-01");
        assert_eq!(rows_of("prices", &[&line]).is_ok(), sound, "{price}");
    }
    assert!(
        pack::rows(table("offered").unwrap(), "cloud\tregion\n").unwrap_err().contains("the columns are")
    );
}

#[test]
fn references_are_checked() {
    assert!(pack::pack(tables(), "").is_ok());
    let mut broken = tables();
    broken.get_mut("prices").unwrap()[0][1] = "no-such-type".to_owned();
    assert!(pack::pack(broken, "").unwrap_err().contains("no-such-type"));
    let mut broken = tables();
    broken.get_mut("regions").unwrap()[0][10] = "no-such-source".to_owned();
    assert!(pack::pack(broken, "").unwrap_err().contains("no-such-source"));
    let mut broken = tables();
    broken.get_mut("aliases").unwrap()[0][2] = "no-such-id".to_owned();
    assert!(pack::pack(broken, "").unwrap_err().contains("no-such-id"));
}

#[test]
fn a_source_is_left_out_with_what_is_made_from_it_and_what_refers_to_it() {
    let mut all = tables();
    let dropped = pack::drop_sources(&mut all, "none-found").unwrap();
    assert!(dropped.contains("anycloud-aws") && dropped.contains("anycloud-aws+family-ratio"));
    assert!(!dropped.contains("tsaol-aws-gpu"));
    let gone = pack::drop_orphans(&mut all);
    assert!(
        gone.iter().any(|row| row.starts_with("prices: aws p2") || row.starts_with("prices: aws p3")),
        "{gone:?}"
    );
    for t in TABLES {
        let Some(column) = t.column("source") else { continue };
        assert!(all[t.name].iter().all(|row| !dropped.contains(&row[column])), "{}", t.name);
        assert!(!all[t.name].is_empty(), "{}", t.name);
    }
    assert!(pack::check_references(&all).is_ok());
    let error = pack::drop_sources(&mut tables(), "mongodb-docs-2").unwrap_err();
    assert!(error.contains("no source `mongodb-docs-2`"));
}
