//! The last configuration that was accepted runs when the files are broken.

use std::fs;

use lamplighter::config::{Config, Loaded};

use crate::{SERVER, directory, put, source};

const BROKEN: &str = "[server.main\n";

fn lifetime(config: &Config) -> u64 {
    config.servers[0].lifetime.as_secs()
}

#[test]
fn broken_files_run_the_last_good_configuration_with_its_drop_ins() {
    let directory = directory("last-good");
    let state = directory.join("state");
    put(&directory, "lamplighter.toml", SERVER);
    put(
        &directory,
        "conf.d/10-a.toml",
        "[server.main]\nlifetime_s = 60\n",
    );
    assert!(
        matches!(source(&directory).load(&state), Loaded::Good { config, .. } if lifetime(&config) == 60)
    );
    put(&directory, "conf.d/10-a.toml", BROKEN);
    let Loaded::LastGood { config, problems } = source(&directory).load(&state) else {
        panic!("last good")
    };
    assert_eq!(lifetime(&config), 60);
    assert!(
        problems[0].place.file.ends_with("10-a.toml"),
        "{problems:?}"
    );
}

#[test]
fn nothing_runs_where_nothing_was_accepted() {
    let directory = directory("none-good");
    put(&directory, "lamplighter.toml", BROKEN);
    assert!(
        matches!(source(&directory).load(&directory.join("state")), Loaded::None { problems } if problems.len() == 1)
    );
}

#[test]
fn a_damaged_copy_gives_way_to_the_one_before() {
    let directory = directory("damaged");
    let state = directory.join("state");
    for lifetime in [60, 90] {
        put(
            &directory,
            "lamplighter.toml",
            &SERVER.replace("short_id", &format!("lifetime_s = {lifetime}\nshort_id")),
        );
        assert!(matches!(
            source(&directory).load(&state),
            Loaded::Good { .. }
        ));
    }
    put(&directory, "lamplighter.toml", BROKEN);
    let current = state.join("config.last-good.json");
    let text = fs::read_to_string(&current).unwrap();
    put(
        &state,
        "config.last-good.json",
        &text.replace("lifetime_s = 90", "lifetime_s = 91"),
    );
    assert!(
        matches!(source(&directory).load(&state), Loaded::LastGood { config, .. } if lifetime(&config) == 60)
    );
}

#[test]
fn an_unchanged_configuration_is_not_written_again() {
    let directory = directory("unchanged");
    let state = directory.join("state");
    put(&directory, "lamplighter.toml", SERVER);
    source(&directory).load(&state);
    source(&directory).load(&state);
    assert!(!state.join("config.last-good.previous.json").exists());
}
