//! The page's door, over real connections.

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use lamplighter_model::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::fake::{Answer, Site, directory, now_at};

const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn without_login_the_page_asks_for_it_and_the_api_is_closed() {
    let page = Running::start().await;
    let home = page.call("GET /", "", "").await;
    assert_eq!(home.status, 200);
    assert!(home.body.contains("login.js") && !home.body.contains("app.js"));
    for line in [
        "GET /api/v1/status",
        "GET /api/v1/points",
        "GET /api/v1/watch",
        "GET /api/v1/session",
        "GET /api/v1/nothing",
        "GET /metrics",
        "PUT /api/v1/objects/3308/0/5900",
        "POST /api/v1/servers/main/deregister",
        "POST /api/v1/demo/write",
        "POST /logout",
    ] {
        let answer = page.call(line, "", r#"{"value":1}"#).await;
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.json()["error"], "log in first");
    }
    assert!(page.site.done().is_empty());
}

#[tokio::test]
async fn the_password_opens_page_and_api() {
    let page = Running::start().await;
    let login = page.login(PASSWORD).await;
    assert_eq!(login.status, 200);
    assert!(
        login.head.contains("; path=/; httponly; samesite=strict"),
        "{}",
        login.head
    );
    let cookie = Running::cookie_of(&login);
    assert!(
        page.call("GET /", &cookie, "")
            .await
            .body
            .contains("app.js")
    );
    assert_eq!(
        page.call("GET /api/v1/status", &cookie, "").await.json()["endpoint"],
        "cab-17"
    );
    assert_eq!(page.call("GET /metrics", &cookie, "").await.status, 200);
}

#[tokio::test]
async fn a_wrong_password_opens_nothing_and_is_slowed_down() {
    let page = Running::start().await;
    for _ in 0..4 {
        let refused = page.login("wrong password").await;
        assert_eq!(refused.status, 403);
        assert!(!refused.head.contains("set-cookie"));
    }
    let slowed = page.login(PASSWORD).await;
    assert_eq!(slowed.status, 429);
    assert!(slowed.head.contains("retry-after: 1"), "{}", slowed.head);
    page.site.clock_s.fetch_add(1, Ordering::Relaxed);
    assert_eq!(page.login(PASSWORD).await.status, 200);
    assert!(
        page.site
            .status
            .metrics(now_at(100))
            .contains("lamplighter_logins_refused_total 4")
    );
}

#[tokio::test]
async fn without_a_password_nobody_can_log_in_and_the_answer_says_what_to_do() {
    let page = Running::start().await;
    std::fs::remove_file(page.state_dir.join("web.json")).unwrap();
    let answer = page.login("anything at all").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("lamplighter web enable")
    );
}

#[tokio::test]
async fn a_login_that_a_foreign_form_could_send_is_refused() {
    let page = Running::start().await;
    let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
    assert_eq!(
        page.call("POST /login", "content-type: text/plain\r\n", &body)
            .await
            .status,
        415
    );
}

#[tokio::test]
async fn changes_need_the_token_of_the_session() {
    let page = Running::start().await;
    let cookie = Running::cookie_of(&page.login(PASSWORD).await);
    let write = "PUT /api/v1/objects/ahu1.setpoint";
    let body = r#"{"value":21}"#;
    assert_eq!(page.call(write, &cookie, body).await.status, 403);
    assert_eq!(
        page.call(write, &format!("{cookie}x-csrf-token: 0\r\n"), body)
            .await
            .status,
        403
    );
    assert!(page.site.done().is_empty());

    let csrf = page.csrf(&cookie).await;
    assert_eq!(
        page.call(write, &format!("{cookie}{csrf}"), body)
            .await
            .status,
        200
    );
    assert_eq!(page.site.done()[0].user, "page (127.0.0.1)");

    let other = Running::cookie_of(&page.login(PASSWORD).await);
    assert_eq!(
        page.call(write, &format!("{other}{csrf}"), body)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn only_names_of_this_box_are_answered() {
    let page = Running::start().await;
    let call = async |host: &str| {
        let stream = TcpStream::connect(page.address).await.unwrap();
        Answer::to(stream, "GET /", &format!("host: {host}\r\n"), "")
            .await
            .status
    };
    assert_eq!(call("localhost:1234").await, 200);
    assert_eq!(call("cab-17.example").await, 200);
    assert_eq!(call("evil.example").await, 421);
    let stream = TcpStream::connect(page.address).await.unwrap();
    assert!(matches!(
        Answer::to(stream, "GET /", "", "").await.status,
        400 | 421
    ));
}

#[tokio::test]
async fn a_one_time_link_logs_in_once() {
    let page = Running::start().await;
    let (_, token) = page.link.split_once("/?").unwrap();
    assert!(
        page.link
            .starts_with(&format!("http://{}/?token=", page.address))
    );
    let line = format!("GET /?{token}");
    let looked = page.call(&format!("HEAD /?{token}"), "", "").await;
    assert!(!looked.head.contains("set-cookie"));
    let entered = page.call(&line, "", "").await;
    let cookie = Running::cookie_of(&entered);
    assert_eq!(
        page.call("GET /api/v1/status", &cookie, "").await.status,
        200
    );
    let again = page.call(&line, "", "").await;
    assert!(!again.head.contains("set-cookie") && again.body.contains("login.js"));
}

#[tokio::test]
async fn logging_out_ends_the_session_and_its_events() {
    let page = Running::start().await;
    let cookie = Running::cookie_of(&page.login(PASSWORD).await);
    let csrf = page.csrf(&cookie).await;
    let mut watch = TcpStream::connect(page.address).await.unwrap();
    let request = format!("GET /api/v1/watch HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n");
    watch.write_all(request.as_bytes()).await.unwrap();
    page.site.sample("/3303/0/5700", Value::Float(1.0), 5);
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&buffer).contains("/3303/0/5700") {
        assert!(watch.read(&mut buffer).await.unwrap() > 0);
    }

    assert_eq!(
        page.call("POST /logout", &format!("{cookie}{csrf}"), "")
            .await
            .status,
        200
    );
    page.site.sample("/3303/0/5700", Value::Float(2.0), 6);
    let mut rest = String::new();
    // The last chunk of the stream; the connection itself stays for further calls.
    while !rest.ends_with("0\r\n\r\n") {
        let read = timeout(Duration::from_secs(10), watch.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "{rest}");
        rest.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(!rest.contains("2.0"), "{rest}");
    assert_eq!(
        page.call("GET /api/v1/status", &cookie, "").await.status,
        401
    );
}

#[tokio::test]
async fn answers_forbid_frames_foreign_scripts_and_caches() {
    let page = Running::start().await;
    for line in ["GET /", "GET /app.js", "GET /api/v1/status"] {
        let head = page.call(line, "", "").await.head;
        for header in [
            "frame-ancestors 'none'",
            "script-src 'self'",
            "nosniff",
            "no-referrer",
            "no-store",
        ] {
            assert!(head.contains(header), "{line} {header}");
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let page = Running::start().await;
    for (file, ..) in pages::FILES {
        let answer = page.call(&format!("GET {file}"), "", "").await;
        assert_eq!(answer.status, 200, "{file}");
        let foreign = answer.body.replace("http://www.w3.org/", "");
        assert!(
            !foreign.contains("http://") && !foreign.contains("https://"),
            "{file}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_a_problem_and_not_an_end() {
    let page = Running::start().await;
    let config = WebConfig {
        hosts: Vec::new(),
        listen: page.address,
        state_dir: page.state_dir.clone(),
    };
    let serving = tokio::spawn(keep_serving(config, page.site.api()));
    let status = &page.site.status;
    let watch = status.watch(Vec::new()).unwrap();
    while status.view(now_at(100)).problems.is_empty() {
        watch.changed().await;
    }
    let problem = status.view(now_at(100)).problems.remove(0);
    assert_eq!(problem.about, "page");
    assert!(
        problem.text.contains(&page.address.to_string()),
        "{}",
        problem.text
    );
    serving.abort();
}

/// A page with a password.
struct Running {
    address: SocketAddr,
    link: String,
    server: JoinHandle<()>,
    site: Site,
    state_dir: PathBuf,
}

impl Running {
    async fn start() -> Self {
        let state_dir = directory("page");
        password::set_quickly(&state_dir, PASSWORD);
        let site = Site::start();
        let config = WebConfig {
            hosts: vec!["cab-17.example".to_owned()],
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            state_dir: state_dir.clone(),
        };
        let page = Page::bind(&config, site.api()).await.unwrap();
        let (address, link) = (page.address(), page.one_time_link().unwrap());
        Self {
            address,
            link,
            server: tokio::spawn(page.serve()),
            site,
            state_dir,
        }
    }

    async fn call(&self, line: &str, headers: &str, body: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Answer::to(
            stream,
            line,
            &format!("host: {}\r\n{headers}", self.address),
            body,
        )
        .await
    }

    async fn login(&self, password: &str) -> Answer {
        let body = format!(r#"{{"password":"{password}"}}"#);
        self.call("POST /login", "content-type: application/json\r\n", &body)
            .await
    }

    /// The header that the page sends with each change.
    async fn csrf(&self, cookie: &str) -> String {
        let session = self.call("GET /api/v1/session", cookie, "").await.json();
        format!("x-csrf-token: {}\r\n", session["csrf"].as_str().unwrap())
    }

    fn cookie_of(answer: &Answer) -> String {
        let (_, cookie) = answer.head.split_once("set-cookie: ").unwrap();
        format!("cookie: other=1; {}\r\n", cookie.split(';').next().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_dir_all(&self.state_dir);
    }
}
