//! The control socket itself.

use super::*;

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = RunDir::new();
    drop(std::os::unix::net::UnixListener::bind(dir.0.join("control.sock")).unwrap());
    let socket = ControlSocket::bind(&dir.0).unwrap();
    assert!(matches!(
        ControlSocket::bind(&dir.0),
        Err(SocketError::InUse(_))
    ));
    drop(socket);
    assert!(!dir.0.join("control.sock").exists());
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_the_peers_name_is_the_kernels() {
    use std::os::unix::fs::PermissionsExt;
    let cabinet = Control::start();
    let mode = std::fs::metadata(cabinet.dir.0.join("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    cabinet.post("/api/v1/objects/3/0/4", "").await;
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .map(|user| user.name);
    let own = own.unwrap_or_else(|| format!("uid {}", nix::unistd::geteuid()));
    assert_eq!(cabinet.site.done()[0].user, format!("{own} (local)"));
}
