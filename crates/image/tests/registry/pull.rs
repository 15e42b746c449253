//! What works.

use crate::fake::Fault;
use crate::ground::{Ground, unpack};
use soulbox_image::oci::platform::Platform;
use soulbox_image::oci::registry::{Mirror, PullEvent};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn layers_come_in_their_order_and_only_once() {
    let ground = Ground::new().await;
    let (held, events) = ground.pull("1").await.unwrap();
    ground.check(&held);
    assert_eq!(ground.parts(), [0_u64; 0]);
    let PullEvent::Begun {
        layers,
        here,
        bytes,
    } = events[0]
    else {
        panic!("{events:?}")
    };
    assert_eq!((layers, here), (3, 0));
    let done = events.iter().filter_map(|event| match event {
        PullEvent::Bytes { done } => Some(*done),
        _ => None,
    });
    assert_eq!(done.max(), Some(bytes));

    let before = ground.fake.came("").len();
    let (held, events) = ground.pull("1").await.unwrap();
    ground.check(&held);
    assert_eq!(
        events[0],
        PullEvent::Begun {
            layers: 3,
            here: 3,
            bytes: 0
        }
    );
    // The manifest and the config.
    assert_eq!(ground.fake.came("").len() - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_for_this_machine_is_taken_from_an_index() {
    let ground = Ground::new().await;
    let registry = ground.registry();
    let name = ground.name("many");
    let of = async |platform: &str| {
        let platform: Platform = platform.parse().unwrap();
        registry.resolve(&name, None, &platform).await
    };
    let image = of("linux/amd64").await.unwrap();
    assert_eq!(image.config.config.env, ["A=b"]);
    // The name stands for the index, which is the same for all machines.
    let exact = image.reference.digest().copied().unwrap();
    assert_ne!(
        exact,
        ground
            .registry()
            .resolve(&ground.name("1"), None, &"linux/amd64".parse().unwrap())
            .await
            .unwrap()
            .reference
            .digest()
            .copied()
            .unwrap()
    );
    let refused = of("linux/s390x").await.unwrap_err();
    let refused = crate::ground::told(&refused);
    assert!(
        refused.ends_with("it is for linux/arm64, linux/amd64"),
        "{refused}"
    );
    let (held, _) = ground.pull("many").await.unwrap();
    ground.check(&held);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_at_once_do_the_work_once() {
    let ground = Ground::new().await;
    let (one, other) = tokio::join!(ground.pull("1"), ground.pull("1"));
    for pulled in [one, other] {
        ground.check(&pulled.unwrap().0);
    }
    for layer in 0..3 {
        assert_eq!(
            ground.fake.came(&ground.blob_path(layer)).len(),
            1,
            "layer {layer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_given_up_leaves_parts_and_the_next_goes_on() {
    let ground = Ground::new().await;
    let mut options = ground.options.clone();
    options.stall_timeout = std::time::Duration::from_secs(600);
    let registry = soulbox_image::oci::registry::Registry::new(options).unwrap();
    let path = ground.blob_path(2);
    ground.fake.fail(&path, &[Fault::Stall(600_000)]);
    let platform: Platform = "linux/amd64".parse().unwrap();
    let image = registry
        .resolve(&ground.name("1"), None, &platform)
        .await
        .unwrap();
    let templates = ground.directory.path().join("templates");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |event| {
        let _ = sender.send(event);
    };
    let pull = registry.pull(&image, None, &templates, unpack, &tell);
    let enough = async {
        // Both others, and what came of the third before it stands still: all chunks but the last.
        let mut layers = 0;
        let mut third = 0;
        while layers < 2 || third < 500_000 {
            match receiver.recv().await.unwrap() {
                PullEvent::Layer(_) => layers += 1,
                PullEvent::Bytes { .. } => {
                    let parts = fs::read_dir(templates.join(".downloads")).unwrap();
                    let lens = parts.filter_map(|part| Some(part.ok()?.metadata().ok()?.len()));
                    third = lens.max().unwrap_or(0);
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        pulled = pull => panic!("{pulled:?}"),
        () = enough => {}
    }
    let left = ground.parts();
    assert!(left.len() == 1 && left[0] >= 500_000, "{left:?}");
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
    let ranges: Vec<_> = ground
        .fake
        .came(&path)
        .iter()
        .map(|came| came.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", left[0]))]);
    assert_eq!(ground.parts(), [0_u64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let mut ground = Ground::new().await;
    let mirror = Ground::new().await;
    ground.options.attempts = 1;
    ground.options.mirrors = vec![Mirror {
        registry: ground.fake.address.to_string(),
        host: mirror.fake.address.to_string(),
        prefix: String::new(),
    }];
    // The one layer is lost there, of the other one something else comes.
    mirror
        .fake
        .fail(&mirror.blob_path(0), &[Fault::Status(404, vec![])]);
    let other = vec![7; 1_000_000];
    mirror
        .fake
        .fail(&mirror.blob_path(2), &[Fault::Other(other)]);
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
    let here = |layer: usize| ground.fake.came(&ground.blob_path(layer)).len();
    assert_eq!([here(0), here(1), here(2)], [1, 0, 1]);
    assert_eq!(ground.fake.came("manifests").len(), 0);
}
