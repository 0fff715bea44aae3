//! What servers and locks are told to do.

use super::*;

#[tokio::test]
async fn servers_are_commanded_by_name() {
    let cabinet = Control::start();
    for action in ["register", "refresh", "deregister"] {
        assert_eq!(
            cabinet
                .post(&format!("/api/v1/servers/main/{action}"), "")
                .await
                .status,
            200
        );
    }
    assert_eq!(
        cabinet.site.server_actions(),
        ["Register main", "Refresh main", "Deregister main"]
    );
}

#[tokio::test]
async fn the_bootstrap_server_is_asked_where_there_is_one() {
    let cabinet = Control::start();
    assert_eq!(cabinet.post("/api/v1/bootstrap", "").await.status, 200);
    let actions = cabinet.site.server_actions();
    assert!(actions[0].starts_with("Bootstrap by "), "{actions:?}");
    let nobody = Reject::new(Code::NOT_FOUND, "there is no account of a bootstrap server");
    cabinet.site.reject(nobody);
    assert_eq!(cabinet.post("/api/v1/bootstrap", "").await.status, 404);
}

#[tokio::test]
async fn values_are_sent_to_one_server_or_to_all() {
    let cabinet = Control::start();
    for (body, status) in [
        (r#"{"paths":["ahu1.setpoint","/3/0/9"]}"#, 200),
        (r#"{"paths":["/3303"],"server":"main"}"#, 200),
        (r#"{"paths":["/3303"],"server":"other"}"#, 404),
        (r#"{"paths":["nothing"]}"#, 404),
        (r#"{"paths":[]}"#, 400),
        (r#"{"path":"/3303"}"#, 400),
    ] {
        let answer = cabinet.post("/api/v1/send", body).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let sent = cabinet.site.server_actions();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(
        sent[0].starts_with("Send /3308/0/5900 /3/0/9 to all by "),
        "{sent:?}"
    );
    assert!(sent[1].starts_with("Send /3303 to main by "), "{sent:?}");
}

#[tokio::test]
async fn locks_go_to_the_loop_with_who_wants_them() {
    let cabinet = Control::start();
    for (target, body) in [
        ("/api/v1/lock", r#"{"name":"all"}"#),
        ("/api/v1/unlock", ""),
    ] {
        let answer = cabinet.call("POST", target, body).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.json()["result"], "done");
    }
    let asked = cabinet.site.server_actions();
    assert!(
        asked[0].starts_with("Lock { what: \"all\", by: Local("),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with("Unlock { what: None, by: Local("),
        "{asked:?}"
    );
}
