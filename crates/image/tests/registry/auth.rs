//! Who we are: told to whom it concerns, and to nobody else.

use crate::fake::{Fake, Fault};
use crate::ground::Ground;
use soulbox_image::steps::RegistryAuth;

fn me() -> RegistryAuth {
    RegistryAuth {
        username: "me".into(),
        password: "SECRET".into(),
    }
}

/// `me:SECRET`.
const BASIC: &str = "Basic bWU6U0VDUkVU";

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_shown_when_it_is_asked_for() {
    let mut ground = Ground::new().await;
    ground.fake.want(BASIC, "Basic realm=\"x\"");
    let name = ground.name("1");
    let refused = ground.pull_as(&name, None).await.unwrap_err();
    assert!(refused.contains("somebody without a password"), "{refused}");
    let (held, _) = ground.pull_as(&name, Some(&me())).await.unwrap();
    ground.check(&held);
    let wrong = RegistryAuth {
        password: "WRONG".into(),
        ..me()
    };
    let refused = ground.pull_as(&name, Some(&wrong)).await.unwrap_err();
    assert!(refused.contains("the user that it was told"), "{refused}");
    assert!(!refused.contains("WRONG"), "{refused}");
    // It is asked for once: five requests for one image, one more for the challenge.
    assert_eq!(ground.fake.came("/v2/").len(), 1 + 6 + 2);
    // What docker login wrote does as well.
    let file = ground.directory.path().join("config.json");
    let host = ground.fake.address;
    let text = format!(r#"{{"auths": {{"{host}": {{"auth": "bWU6U0VDUkVU"}}}}}}"#);
    std::fs::write(&file, text).unwrap();
    ground.options.auth_file = file;
    ground.pull_as(&name, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_where_the_registry_says() {
    let ground = Ground::new().await;
    let service = Fake::start().await;
    service.put(
        "/token",
        "application/json",
        br#"{"token": "T", "expires_in": 300}"#,
    );
    let challenge = format!(
        r#"Bearer realm="http://{}/token",service="the registry",scope="repository:x:pull""#,
        service.address
    );
    ground.fake.want("Bearer T", &challenge);
    let (held, _) = ground
        .pull_as(&ground.name("1"), Some(&me()))
        .await
        .unwrap();
    ground.check(&held);
    let came = service.came("/token");
    assert_eq!(came.len(), 1);
    assert!(
        came[0].path.contains("scope=repository%3Ax%3Apull"),
        "{}",
        came[0].path
    );
    assert!(
        came[0].path.contains("service=the%20registry"),
        "{}",
        came[0].path
    );
    assert_eq!(came[0].headers.get("authorization").unwrap(), BASIC);
    // The registry itself never sees the password.
    for came in ground.fake.came("") {
        let shown = came.headers.get("authorization").map(String::as_str);
        assert!(matches!(shown, None | Some("Bearer T")), "{shown:?}");
    }
    let odd = br#"{"token": "bad\nSECRET"}"#;
    service.put("/token", "application/json", odd);
    let refused = ground
        .pull_as(&ground.name("many"), None)
        .await
        .unwrap_err();
    assert!(
        refused.contains("gave something else") && !refused.contains("SECRET"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_do_not_follow_a_redirect_to_another_host() {
    let ground = Ground::new().await;
    ground.fake.want(BASIC, "Basic realm=\"x\"");
    let store = Fake::start().await;
    store.put("/signed", "application/octet-stream", &ground.layers[2]);
    let there = format!("http://{}/signed?key=1", store.address);
    let redirect = Fault::Status(307, vec![("Location".to_owned(), there)]);
    ground.fake.fail(&ground.blob_path(2), &[redirect]);
    let (held, _) = ground
        .pull_as(&ground.name("1"), Some(&me()))
        .await
        .unwrap();
    ground.check(&held);
    let came = store.came("/signed");
    assert_eq!(came.len(), 1);
    assert!(!came[0].headers.contains_key("authorization"), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_neither_in_circles_nor_out_of_tls() {
    let ground = Ground::new().await;
    let manifest = "/v2/x/manifests/1";
    let to = |there: &str| Fault::Status(302, vec![("Location".into(), there.into())]);
    for (there, wanted) in [
        (manifest, "one address after the other"),
        ("http://192.0.2.1/x", "does not speak TLS"),
        ("file:///etc/passwd", "no address"),
    ] {
        ground.fake.fail(manifest, &vec![to(there); 20]);
        let refused = ground.pull("1").await.map(|_| ()).unwrap_err();
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_server_do_not_reach_its_networks() {
    let mut ground = Ground::new().await;
    ground.options = ground.options.clone().for_clients();
    let refused = ground.pull("1").await.map(|_| ()).unwrap_err();
    assert!(
        refused.contains("its address 127.0.0.1 is not one of the internet"),
        "{refused}"
    );
    // What the operator named may be reached.
    ground.options.insecure = vec![ground.fake.address.to_string()];
    ground.pull("1").await.unwrap();
}
