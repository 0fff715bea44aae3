//! Drop-ins, environment and object definitions beside the configuration.

use crate::{SERVER, directory, put, source};

const DEVICE: &str = "[device.t]\nadapter = \"sim\"\n[device.t.point.a]\nresource = \"/3303/0/5700\"\nvalue = 20.5\n";

#[test]
fn drop_ins_add_and_override_by_name_in_their_order() {
    let directory = directory("drop-ins");
    put(&directory, "lamplighter.toml", SERVER);
    put(
        &directory,
        "conf.d/10-server.toml",
        "[server.main]\nlifetime_s = 60\nuri = \"coaps://other\"\n",
    );
    put(
        &directory,
        "conf.d/20-more.toml",
        &format!("[server.main]\nlifetime_s = 90\n{DEVICE}"),
    );
    put(&directory, "conf.d/30-not-read.txt", "nonsense");
    let checked = source(&directory).check();
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    let server = &config.servers[0];
    assert_eq!(
        (
            server.lifetime.as_secs(),
            server.uri.host.as_str(),
            server.ssid.0
        ),
        (90, "other", 101)
    );
    assert_eq!(config.devices[0].name, "t");
}

#[test]
fn a_problem_stands_in_the_file_that_caused_it() {
    let directory = directory("drop-in-problem");
    put(&directory, "lamplighter.toml", SERVER);
    put(
        &directory,
        "conf.d/10-a.toml",
        "\n[server.main]\nlifetime_s = 1\n",
    );
    put(&directory, "conf.d/20-b.toml", "[server.main\n");
    put(
        &directory,
        "conf.d/30-c.toml",
        "[client]\nendpiont = \"a\"\n",
    );
    let problems = source(&directory).check().problems;
    let at = |name: &str| {
        let found = problems
            .iter()
            .find(|problem| problem.place.file.ends_with(name));
        found.and_then(|problem| problem.place.line)
    };
    // What one broken file would have said is not missed in the others, so ranges wait.
    assert_eq!(
        (at("10-a.toml"), at("20-b.toml"), at("30-c.toml")),
        (None, Some(1), Some(2)),
        "{problems:?}"
    );
    put(&directory, "conf.d/20-b.toml", "");
    put(&directory, "conf.d/30-c.toml", "");
    let problems = source(&directory).check().problems;
    assert!(
        problems[0].place.file.ends_with("10-a.toml") && problems[0].place.line == Some(3),
        "{problems:?}"
    );
}

#[test]
fn the_environment_sets_scalars_and_says_where_a_wrong_one_is() {
    let directory = directory("environment");
    put(&directory, "lamplighter.toml", SERVER);
    let mut source = source(&directory);
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    source.environment = vec![
        variable("LAMPLIGHTER_SERVER__MAIN__LIFETIME_S", "77"),
        variable("LAMPLIGHTER_SERVER__MAIN__STORE_NOTIFICATIONS", "false"),
        variable("LAMPLIGHTER_CLIENT__ENDPOINT", "007"),
        variable("LAMPLIGHTER_LOG", "debug"),
        variable("LAMPLIGHTER_REGISTRY_DIR", "/x"),
        variable("HOME", "/root"),
    ];
    let checked = source.check();
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    assert_eq!(config.endpoint.name, "007");
    assert_eq!(
        (
            config.servers[0].lifetime.as_secs(),
            config.servers[0].store_notifications
        ),
        (77, false)
    );

    source.environment = vec![
        variable("LAMPLIGHTER_SERVER__MAIN__LIFETIME_S", "long"),
        variable("LAMPLIGHTER_SERVER__MAIN__SHORT_IDS", "1"),
        variable("LAMPLIGHTER_SITE__GROUP__A__MEMBERS", "[\"x\"]"),
    ];
    let texts: Vec<String> = source
        .check()
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    for words in [
        "environment LAMPLIGHTER_SERVER__MAIN__LIFETIME_S: error: expected a whole number, found the text \"long\"",
        "environment LAMPLIGHTER_SERVER__MAIN__SHORT_IDS: error: unknown key `short_ids` (did you mean `short_id`?)",
        "environment LAMPLIGHTER_SITE__GROUP__A__MEMBERS: error: expected a list in brackets",
    ] {
        assert!(
            texts.iter().any(|text| text.contains(words)),
            "{words}\n{texts:#?}"
        );
    }
}

#[test]
fn object_definitions_beside_the_configuration_are_known() {
    let directory = directory("objects");
    std::fs::create_dir(directory.join("objects")).unwrap();
    let mut object = lamplighter_model::tables::vendor(30_000).swap_remove(1);
    object.name = "Ours".to_owned();
    put(
        &directory,
        "objects/30001.xml",
        &lamplighter_model::xml::write(&object),
    );
    put(
        &directory,
        "objects/broken.xml",
        "<LWM2M>\n<Object>\n</LWM2M>",
    );
    let point = "[device.t]\nadapter = \"sim\"\npoint.a = { resource = \"/30001/0/2\" }\n";
    put(&directory, "lamplighter.toml", &format!("{SERVER}{point}"));
    let problems = source(&directory).check().problems;
    assert!(
        problems.len() == 1 && problems[0].place.file.ends_with("broken.xml"),
        "{problems:?}"
    );
    std::fs::remove_file(directory.join("objects/broken.xml")).unwrap();
    assert_eq!(source(&directory).check().problems, []);
}

#[test]
fn a_missing_main_file_is_a_problem() {
    let directory = directory("missing");
    let problems = source(&directory).check().problems;
    assert!(
        problems[0]
            .to_string()
            .contains("lamplighter.toml: error: cannot be read"),
        "{problems:?}"
    );
}

#[test]
fn beside_a_drop_in_there_need_not_be_a_main_file() {
    let directory = directory("drop-in-only");
    put(&directory, "conf.d/10-server.toml", SERVER);
    let checked = source(&directory).check();
    assert_eq!(checked.problems, []);
    assert_eq!(checked.config.unwrap().servers[0].name, "main");
}

#[test]
fn a_link_that_leads_nowhere_is_told_as_such() {
    let directory = directory("dangling");
    put(&directory, "lamplighter.toml", SERVER);
    std::os::unix::fs::symlink("/nowhere/x.toml", directory.join("conf.d/10-x.toml")).unwrap();
    let problems = source(&directory).check().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    let hint = problems[0].hint.as_deref().unwrap();
    assert!(
        hint.contains("link to a file that does not exist"),
        "{hint}"
    );
}

#[test]
fn a_variable_that_sets_nothing_is_reported_by_its_name() {
    let directory = directory("variables");
    put(&directory, "lamplighter.toml", SERVER);
    for name in [
        "LAMPLIGHTER_A__B",
        "LAMPLIGHTER_A____B",
        "LAMPLIGHTER_CLIENT____ENDPOINT",
    ] {
        let mut source = source(&directory);
        source.environment = vec![(name.to_owned(), "1".to_owned())];
        let problems = source.check().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        let place = &problems[0].place;
        assert_eq!(
            (place.file.as_str(), place.line),
            (format!("environment {name}").as_str(), None)
        );
    }
}
