//! What goes wrong: some of it passes, the rest is told.

use crate::fake::Fault;
use crate::ground::Ground;
use std::time::{Duration, Instant};

fn status(status: u16) -> Fault {
    Fault::Status(status, vec![])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_does_no_harm() {
    let ground = Ground::new().await;
    let manifest = "/v2/x/manifests/1";
    ground
        .fake
        .fail(manifest, &[status(503), Fault::Break(10), Fault::Silent]);
    let after = vec![("Retry-After".to_owned(), "1".to_owned())];
    ground.fake.fail(
        &ground.blob_path(0),
        &[Fault::Status(429, after), Fault::Break(500_000)],
    );
    let faults = [
        Fault::Stall(300_000),
        Fault::Break(0),
        Fault::Break(100_000),
        status(500),
    ];
    ground.fake.fail(&ground.blob_path(1), &faults);
    let begun = Instant::now();
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
    assert!(begun.elapsed().as_secs() >= 1, "Retry-After was not heeded");
    let came = ground.fake.came(&ground.blob_path(1));
    assert_eq!(came.len(), 5);
    let range = |number: usize| came[number].headers.get("range").map(String::as_str);
    // What came before a break is kept.
    assert_eq!(
        [range(0), range(1), range(2)],
        [None, Some("bytes=300000-"), Some("bytes=300000-")]
    );
    assert_eq!([range(3), range(4)], [Some("bytes=400000-"); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_ranges_sends_it_again() {
    let ground = Ground::new().await;
    ground.fake.without_ranges();
    ground
        .fake
        .fail(&ground.blob_path(2), &[Fault::Break(700_000)]);
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
    assert_eq!(ground.fake.came(&ground.blob_path(2)).len(), 2);
}

/// Pulls with faults of one path for as long as it is asked, and gives the error.
async fn refused(path: impl Fn(&Ground) -> String, fault: Fault) -> String {
    let mut ground = Ground::new().await;
    ground.options.attempts = 2;
    ground.fake.fail(&path(&ground), &vec![fault; 10]);
    let refused = ground.pull("1").await.map(|_| ()).unwrap_err();
    // Nothing is left of it once the threads of the other layers have seen that nobody wants them.
    let layers = ground.directory.path().join("templates/.layers");
    let begun = || {
        let entries = std::fs::read_dir(&layers).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".build")).count()
    };
    let gone = async {
        while begun() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
    assert!(gone.is_ok(), "{} are left", begun());
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_told() {
    let manifest = |_: &Ground| "/v2/x/manifests/1".to_owned();
    let layer = |ground: &Ground| ground.blob_path(2);
    let cases: [(String, &str); 8] = [
        (refused(manifest, status(404)).await, "has no image"),
        (
            refused(manifest, status(502)).await,
            "cannot answer now (status 502",
        ),
        (
            refused(manifest, Fault::Endless).await,
            "is longer than 4194304 bytes",
        ),
        (
            refused(manifest, Fault::Silent).await,
            "took longer than 300ms to answer",
        ),
        (
            refused(manifest, Fault::Other(b"{}".to_vec())).await,
            "no kind of manifest",
        ),
        (
            refused(layer, Fault::Stall(0)).await,
            "took longer than 300ms to send more",
        ),
        (
            refused(layer, Fault::Claim(999_999)).await,
            "its manifest says 1000000",
        ),
        (
            refused(layer, Fault::Other(vec![1; 1_000_000])).await,
            "what came as sha256:",
        ),
    ];
    for (told, wanted) in cases {
        assert!(told.contains(wanted), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_not_what_was_asked_for_is_refused() {
    let ground = Ground::new().await;
    let image = ground.pull("1").await;
    drop(image);
    let registry = ground.registry();
    let platform = "linux/amd64".parse().unwrap();
    let image = registry
        .resolve(&ground.name("1"), None, &platform)
        .await
        .unwrap();
    let digest = image.reference.digest().unwrap().to_string();
    let path = format!("/v2/x/manifests/{digest}");
    ground.fake.fail(&path, &[Fault::Other(b"{}".to_vec())]);
    let refused = registry
        .resolve(&image.reference, None, &platform)
        .await
        .unwrap_err();
    let refused = crate::ground::told(&refused);
    assert!(
        refused.contains(&format!("what came as {digest}")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_part_that_is_damaged_is_fetched_anew() {
    let ground = Ground::new().await;
    let parts = ground.directory.path().join("templates/.downloads");
    std::fs::create_dir_all(&parts).unwrap();
    std::fs::write(parts.join(ground.blobs[2].hex()), vec![0; 300_000]).unwrap();
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
    assert_eq!(ground.fake.came(&ground.blob_path(2)).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_too_large_is_given_up() {
    let mut ground = Ground::new().await;
    ground.options.image_size = soulbox_model::ByteSize(2_500_000);
    let refused = ground.pull("1").await.map(|_| ()).unwrap_err();
    assert!(refused.contains("registry.image_size"), "{refused}");
}
