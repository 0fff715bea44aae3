//! The page of `lamplighter demo` in headless Chromium: what a finger does, seen again over the API.
//! Pictures are kept in the target directory.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::PathBuf, process::Command};

use lamplighter_web::{Browser, Program};
use serde_json::Value as Json;

#[test]
fn a_person_switches_lamps_group_and_set_point_by_touch() {
    let (_demo, link) = Program::start(
        Command::new(binary()).args(["demo", "--http", "127.0.0.1:0"]),
        "page: ",
    );
    let browser = Browser::start();
    browser.resize(1280, 1100);
    browser.open(&link);
    browser.until("document.querySelectorAll('.tile').length >= 8");
    browser.until("document.querySelector('.server.registered')");
    browser.until("[...document.querySelectorAll('.tile')].every((tile) => !tile.classList.contains('doubtful'))");
    browser.until("document.querySelector('.lead .digits').textContent !== '–'");
    browser.until(
        "document.querySelector('[data-rule=sign]').textContent.startsWith('By schedule: o')",
    );
    keep("page-desktop.png", &browser.screenshot());

    a_lamp_follows_its_tile(&browser);
    the_group_follows_its_switch(&browser);
    a_locked_group_stays_off(&browser);
    the_set_point_follows_its_keys(&browser);
    the_same_goes_through_the_server(&browser);

    browser.resize(390, 844);
    keep("page-phone.png", &browser.screenshot());
    keep("page-phone-long.png", &browser.long_screenshot());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    the_door_is_closed_again(&browser, &link);
}

fn a_lamp_follows_its_tile(browser: &Browser) {
    let name = browser.run("return document.querySelector('.tile').dataset.point");
    let name = name.as_str().unwrap();
    let before = is_on(browser, name);
    browser.click(".tile");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{}'",
        !before
    ));
    assert_eq!(is_on(browser, name), !before);
    browser.click(".tile");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{before}'"
    ));
    assert_eq!(is_on(browser, name), before);
}

/// The group is on; after the lock it is again.
fn a_locked_group_stays_off(browser: &Browser) {
    let tiles = |on: bool| {
        browser.until(&format!(
            "[...document.querySelector('.group').querySelectorAll('.tile')]
                .every((tile) => tile.getAttribute('aria-pressed') === '{on}')"
        ));
    };
    browser.click("[data-lock]");
    tiles(false);
    browser.until("document.querySelector('[data-lock]').textContent === 'Unlock'");
    browser.until(
        "document.querySelector('#problems').textContent.includes('locked for maintenance')",
    );
    browser.click("[data-lock]");
    tiles(true);
    browser.until("document.querySelector('[data-lock]').textContent === 'Lock'");
}

fn the_group_follows_its_switch(browser: &Browser) {
    for on in [true, false, true] {
        browser.click(&format!(".either [data-value='{on}']"));
        browser.until(&format!(
            "[...document.querySelector('.group').querySelectorAll('.tile')]
                .every((tile) => tile.getAttribute('aria-pressed') === '{on}')"
        ));
        browser.until(&format!(
            "document.querySelector(\".either [data-value='{on}'][aria-pressed='true']\")"
        ));
        let groups = browser.run("return fetch('/api/v1/status').then((answer) => answer.json())")
            ["groups"]
            .take();
        assert_eq!(groups[0]["state"], if on { "on" } else { "off" });
    }
}

fn the_set_point_follows_its_keys(browser: &Browser) {
    let name = browser.run("return document.querySelector('.setter .digits').dataset.valueOf");
    let name = name.as_str().unwrap();
    let before = read(browser, name)["value"].as_f64().unwrap();
    browser.click(".setter .key:last-child");
    browser.click(".setter .key:last-child");
    browser.until("document.querySelector('.setter.pending')");
    browser.until("!document.querySelector('.setter.pending')");
    let after = read(browser, name)["value"].as_f64().unwrap();
    assert!(after > before, "{before} {after}");
}

fn the_same_goes_through_the_server(browser: &Browser) {
    browser.click("#through");
    browser.until("document.querySelector('.demo p').textContent.includes('by LwM2M')");
    let name = browser.run("return document.querySelector('.tile').dataset.point");
    let before = is_on(browser, name.as_str().unwrap());
    browser.click(".tile");
    browser.until("document.querySelector('.log .code')?.textContent.startsWith('2.')");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{}'",
        !before
    ));
    assert_eq!(is_on(browser, name.as_str().unwrap()), !before);
    browser.run("window.scrollTo(0, 0)");
    keep("page-through-the-server.png", &browser.screenshot());
}

fn the_door_is_closed_again(browser: &Browser, link: &str) {
    browser.click("#leave");
    browser.until("document.querySelector('#login')");
    browser.open(link);
    browser.until("document.querySelector('#login')");
    keep("page-login.png", &browser.screenshot());
}

/// The measured state, as the box itself reads it.
fn is_on(browser: &Browser, name: &str) -> bool {
    read(browser, name)["point"]["on"].as_bool().unwrap()
}

fn read(browser: &Browser, name: &str) -> Json {
    browser.run(&format!(
        "return fetch('/api/v1/objects/{name}').then((answer) => answer.json())"
    ))
}

fn keep(name: &str, png: &[u8]) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, png))
        .unwrap();
}

/// `LAMPLIGHTER_BIN`, or the binary that was built beside this test.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LAMPLIGHTER_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("lamplighter");
    assert!(path.exists(), "build it first: cargo build -p lamplighter");
    path
}
