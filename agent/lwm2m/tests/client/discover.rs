//! Discover in all versions (lwm2m/20, 4 and 13).

use lamplighter_coap::{Code, Request};
use lamplighter_lwm2m::client::VersionChoice;

use crate::{
    common::{World, accepting, text},
    shelf::shelf,
};

use VersionChoice::{V1_0, V1_1, V1_2};

/// `/34/0` with attributes at every level.
fn furnished(version: VersionChoice) -> World {
    let mut world = shelf(version);
    world.fill();
    for (path, queries) in [
        ("/34", &["pmin=1"][..]),
        ("/34/0", &["pmax=2"]),
        ("/34/0/1", &["pmin=5"]),
        ("/34/0/2", &["gt=3"]),
    ] {
        assert_eq!(world.attributes(path, queries).code, Code::CHANGED);
    }
    if version != V1_0 {
        world.attributes("/34/0/1/1", &["pmax=45"]);
    }
    world
}

fn discover(path: &str, query: &str) -> Request {
    Request {
        queries: (!query.is_empty())
            .then(|| query.to_owned())
            .into_iter()
            .collect(),
        ..accepting(path, 40)
    }
}

#[test]
fn each_version_shows_what_it_knows() {
    for (version, path, links) in [
        (
            V1_0,
            "/34",
            "</34>;pmin=1,</34/0>;pmax=2,</34/0/0>,</34/0/1>;dim=2,</34/0/2>,</34/0/4>,\
             </34/0/11>;dim=0",
        ),
        (
            V1_1,
            "/34",
            "</34>;pmin=1,</34/0>;pmax=2,</34/0/0>,</34/0/1>;dim=2,</34/0/2>,</34/0/4>,\
             </34/0/11>;dim=0",
        ),
        (
            V1_2,
            "/34",
            "</34>;pmin=1,</34/0>;pmax=2,</34/0/0>,</34/0/1>;dim=2;pmin=5,</34/0/2>;gt=3,\
             </34/0/4>,</34/0/11>;dim=0",
        ),
        (
            V1_0,
            "/34/0",
            "</34/0>;pmin=1;pmax=2,</34/0/0>,</34/0/1>;dim=2;pmin=5,</34/0/2>;gt=3,</34/0/4>,\
             </34/0/11>;dim=0",
        ),
        (
            V1_2,
            "/34/0",
            "</34/0>;pmin=1;pmax=2,</34/0/0>,</34/0/1>;dim=2;pmin=5,</34/0/2>;gt=3,</34/0/4>,\
             </34/0/11>;dim=0",
        ),
        (V1_0, "/34/0/1", "</34/0/1>;dim=2;pmin=5;pmax=2"),
        (
            V1_1,
            "/34/0/1",
            "</34/0/1>;dim=2;pmin=5;pmax=2,</34/0/1/0>,</34/0/1/1>;pmax=45",
        ),
        (
            V1_2,
            "/34/0/1",
            "</34/0/1>;dim=2;pmin=5;pmax=2,</34/0/1/0>,</34/0/1/1>;pmax=45",
        ),
    ] {
        let mut world = furnished(version);
        let answer = world.ask(accepting(path, 40));
        assert_eq!(text(&answer), links, "{path} in {version:?}");
    }
}

#[test]
fn since_1_2_the_server_says_how_deep() {
    let mut world = furnished(V1_2);
    for (path, query, links) in [
        ("/34", "depth=0", "</34>;pmin=1"),
        ("/34", "depth=1", "</34>;pmin=1,</34/0>;pmax=2"),
        (
            "/34",
            "depth=3",
            "</34>;pmin=1,</34/0>;pmax=2,</34/0/0>,</34/0/1>;dim=2;pmin=5,</34/0/1/0>,\
             </34/0/1/1>;pmax=45,</34/0/2>;gt=3,</34/0/4>,</34/0/11>;dim=0",
        ),
        ("/34/0", "depth=0", "</34/0>;pmin=1;pmax=2"),
        (
            "/34/0",
            "depth=2",
            "</34/0>;pmin=1;pmax=2,</34/0/0>,</34/0/1>;dim=2;pmin=5,</34/0/1/0>,\
             </34/0/1/1>;pmax=45,</34/0/2>;gt=3,</34/0/4>,</34/0/11>;dim=0",
        ),
        ("/34/0/1", "depth=0", "</34/0/1>;dim=2;pmin=5;pmax=2"),
        ("/34/0/2", "depth=3", "</34/0/2>;pmin=1;pmax=2;gt=3"),
        ("/35", "depth=2", "</35>"),
    ] {
        let answer = world.ask(discover(path, query));
        assert_eq!(text(&answer), links, "{path}?{query}");
    }
    for query in [
        "depth=4", "depth=-1", "depth=", "depth", "depth=x", "pmin=1",
    ] {
        assert_eq!(
            world.ask(discover("/34", query)).code,
            Code::BAD_REQUEST,
            "{query}"
        );
    }
}

#[test]
fn before_1_2_the_depth_means_nothing() {
    for version in [V1_0, V1_1] {
        let mut world = furnished(version);
        let plain = text(&world.ask(accepting("/34", 40))).to_owned();
        assert_eq!(text(&world.ask(discover("/34", "depth=9"))), plain);
    }
}

#[test]
fn discovers_have_the_codes_of_the_standard() {
    for version in [V1_0, V1_1, V1_2] {
        let mut world = furnished(version);
        for (path, code) in [
            ("/34", Code::CONTENT),
            ("/35", Code::CONTENT),
            ("/34/0/4", Code::CONTENT),
            ("/34/0/8", Code::NOT_FOUND),
            ("/34/0/5", Code::NOT_FOUND),
            ("/34/0/77", Code::NOT_FOUND),
            ("/34/7", Code::NOT_FOUND),
            ("/99", Code::NOT_FOUND),
            ("/0", Code::UNAUTHORIZED),
            ("/34/0/1/0", Code::METHOD_NOT_ALLOWED),
            ("/", Code::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(
                world.ask(accepting(path, 40)).code,
                code,
                "{path} in {version:?}"
            );
        }
    }
}
