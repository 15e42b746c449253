//! The steps of a build as clients send them, made into what the engine carries out.

use crate::error::ApiError;
use serde::Deserialize;
use soulbox_control::templates::build::Wanted;
use soulbox_image::steps::{
    Base, Command, Copy, CopyFrom, MAX_STEPS, Place, Plan, RegistryAuth, Run, Stage, Step, StepKind,
};
use soulbox_model::TemplateName;

/// The images that E2B's clients begin with when nothing is said: ours of the same purpose take their place.
const STANDARD: [(&str, &str); 2] = [
    ("e2bdev/base", "base"),
    ("e2bdev/code-interpreter", "code-interpreter-v1"),
];
/// Commands are given to a login shell: bash where there is one. What it finds programs by is what its profile says,
/// and after that what was set before.
const SHELL: [&str; 3] = [
    "/bin/sh",
    "-c",
    r#"if [ -x /bin/bash ]; then exec /bin/bash -l -c 'PATH="$PATH:$1"; eval "$0"' "$0" "$PATH"; fi; exec /bin/sh -c "$0""#,
];
/// The account and the directory that E2B gives what is made of an image.
const USER: &str = "user";
const HOME: &str = "/home/user";
/// The user of registries that take a key of a service account as the password.
const JSON_KEY: &str = "_json_key";

/// What is to be built.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start {
    from_image: Option<String>,
    from_template: Option<String>,
    from_image_registry: Option<Registry>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    steps: Vec<Asked>,
    start_cmd: Option<String>,
    ready_cmd: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Registry {
    #[serde(rename = "registry")]
    Plain {
        username: String,
        password: String,
    },
    Gcp {
        #[serde(rename = "serviceAccountJson")]
        service_account_json: String,
    },
    Aws {},
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    args: Vec<String>,
    files_hash: Option<String>,
    #[serde(default)]
    force: Option<bool>,
}

/// Makes a plan of what a client asks for. `find` gives the template of a name.
pub(super) fn wanted(
    asked: Start,
    find: impl Fn(&str) -> Option<TemplateName>,
) -> Result<Wanted, ApiError> {
    let count = asked.steps.len();
    if count > MAX_STEPS {
        return Err(ApiError::bad(format!(
            "steps: {count} are more than {MAX_STEPS}"
        )));
    }
    let base = base(&asked, find)?;
    let shell = SHELL.map(str::to_owned).to_vec();
    let mut steps = Vec::new();
    if let Base::Image { .. } = base {
        steps.push(own(StepKind::User {
            name: USER.to_owned(),
            create: true,
            sudo: true,
        }));
        steps.push(own(StepKind::Workdir(HOME.to_owned())));
    }
    steps.push(own(StepKind::Shell(shell)));
    let before = steps.len();
    for (number, one) in asked.steps.into_iter().enumerate() {
        let force = asked.force || one.force.unwrap_or(false);
        let text = text(&one);
        let kind =
            kind(&one).map_err(|reason| ApiError::bad(format!("steps[{number}]: {reason}")))?;
        steps.push(Step {
            text,
            line: None,
            kind,
            force,
        });
    }
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let start = given(asked.start_cmd);
    if let Some(start) = start {
        check("startCmd", &start)?;
        steps.push(own(StepKind::Start(Some(Command::Shell(start)))));
    }
    if let Some(ready) = given(asked.ready_cmd) {
        check("readyCmd", &ready)?;
        steps.push(own(StepKind::Ready(Some(ready))));
    }
    let stage = Stage {
        name: None,
        base,
        steps,
    };
    Ok(Wanted {
        plan: Plan {
            stages: vec![stage],
            target: 0,
        },
        before,
        steps: count,
    })
}

fn base(asked: &Start, find: impl Fn(&str) -> Option<TemplateName>) -> Result<Base, ApiError> {
    match (&asked.from_image, &asked.from_template) {
        (None, Some(name)) => find(name).map(Base::Template).ok_or_else(|| {
            ApiError::bad(format!(
                "fromTemplate: template {:?} was not found",
                name.chars().take(150).collect::<String>()
            ))
        }),
        (Some(image), None) => {
            check("fromImage", image)?;
            if let Some(name) = standard(image).and_then(find) {
                return Ok(Base::Template(name));
            }
            let auth = asked.from_image_registry.as_ref().map(auth).transpose()?;
            Ok(Base::Image {
                reference: image.clone(),
                auth,
            })
        }
        _ => Err(ApiError::bad(
            "body: there must be one of fromImage and fromTemplate",
        )),
    }
}

/// Our template that takes the place of one of E2B's own images.
fn standard(image: &str) -> Option<&'static str> {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let mut all = STANDARD.iter();
    all.find(|(theirs, _)| *theirs == name)
        .map(|(_, ours)| *ours)
}

fn auth(registry: &Registry) -> Result<RegistryAuth, ApiError> {
    match registry {
        Registry::Plain { username, password } => Ok(RegistryAuth {
            username: username.clone(),
            password: password.clone(),
        }),
        Registry::Gcp {
            service_account_json,
        } => Ok(RegistryAuth {
            username: JSON_KEY.to_owned(),
            password: service_account_json.clone(),
        }),
        Registry::Aws {} => Err(ApiError::not_built(
            "fromImageRegistry: the exchange of AWS keys is not built; give what \
             `aws ecr get-login-password` prints as the password of type registry, with the username AWS",
        )),
    }
}

fn own(kind: StepKind) -> Step {
    Step {
        text: match &kind {
            StepKind::User { name, .. } => format!("USER {name}"),
            StepKind::Workdir(path) => format!("WORKDIR {path}"),
            StepKind::Shell(_) => "commands run in a login shell".to_owned(),
            StepKind::Start(_) => "start command".to_owned(),
            _ => "ready command".to_owned(),
        },
        line: None,
        kind,
        force: false,
    }
}

/// A step as it is told in the log: without what may be a secret.
fn text(step: &Asked) -> String {
    let args = match step.kind.as_str() {
        "ENV" => {
            let names = step.args.iter().step_by(2).cloned();
            names.collect()
        }
        "COPY" => step.args.iter().take(2).cloned().collect(),
        "RUN" => step.args.iter().take(1).cloned().collect(),
        _ => step.args.clone(),
    };
    let args: Vec<String> = args;
    format!("{} {}", step.kind, args.join(" "))
}

fn kind(step: &Asked) -> Result<StepKind, String> {
    for arg in &step.args {
        check("args", arg).map_err(|error| error.message)?;
    }
    let given = |at: usize| step.args.get(at).filter(|text| !text.is_empty()).cloned();
    let needed =
        |at: usize, what: &str| given(at).ok_or_else(|| format!("args: {what} is missing"));
    match step.kind.as_str() {
        "RUN" => Ok(StepKind::Run(Run {
            command: Command::Shell(needed(0, "the command")?),
            user: given(1),
            env: Vec::new(),
            mounts: Vec::new(),
            network: true,
        })),
        "COPY" => Ok(StepKind::Copy(Copy {
            from: CopyFrom::Upload {
                hash: step.files_hash.clone().ok_or("filesHash: it is missing")?,
            },
            sources: vec![needed(0, "the source")?],
            excludes: Vec::new(),
            place: Place {
                to: needed(1, "the destination")?,
                owner: given(2),
                mode: given(3).map(|text| mode(&text)).transpose()?,
            },
            unpack: false,
        })),
        "WORKDIR" => Ok(StepKind::Workdir(needed(0, "the directory")?)),
        "USER" => Ok(StepKind::User {
            name: needed(0, "the user")?,
            create: true,
            sudo: step.args.get(1).is_some_and(|text| text == "true"),
        }),
        "ENV" => {
            let pairs = step.args.chunks(2).map(|pair| match pair {
                [name, value] if is_name(name) => Ok((name.clone(), value.clone())),
                [name, _] => Err(format!("args: {name:?} cannot be the name of a variable")),
                _ => Err("args: a name has no value".to_owned()),
            });
            Ok(StepKind::Env(pairs.collect::<Result<_, _>>()?))
        }
        other => {
            let other: String = other.chars().take(40).collect();
            Err(format!(
                "type: {other:?} is none of COPY, ENV, RUN, USER and WORKDIR"
            ))
        }
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("args: {text:?} is no mode such as 0755"))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('=')
}

/// Nothing that goes into a command may hold NUL.
fn check(field: &str, text: &str) -> Result<(), ApiError> {
    match text.contains('\0') {
        true => Err(ApiError::bad(format!("{field}: it must not hold NUL"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Wanted, ApiError> {
        let body = body.to_string();
        let there = |name: &str| ["base", "mine"].contains(&name);
        wanted(crate::body::parse(body.as_bytes())?, |name| {
            there(name).then(|| name.parse().unwrap())
        })
    }

    fn kinds(wanted: &Wanted) -> Vec<StepKind> {
        let stage = &wanted.plan.stages[wanted.plan.target];
        let steps = stage.steps.iter().map(|step| step.kind.clone());
        steps.collect()
    }

    #[test]
    fn each_step_becomes_what_it_says() {
        let plan = read(&json!({
            "fromTemplate": "mine",
            "steps": [
                { "type": "RUN", "args": ["make", "root"] },
                { "type": "RUN", "args": ["make"], "force": true },
                { "type": "COPY", "args": ["src/*", "/app/", "", "0755"], "filesHash": "ab12" },
                { "type": "WORKDIR", "args": ["/app"] },
                { "type": "USER", "args": ["me", "true"] },
                { "type": "ENV", "args": ["A", "secret", "B", ""] },
            ],
            "startCmd": "serve", "readyCmd": "curl localhost",
        }))
        .unwrap();
        let stage = &plan.plan.stages[0];
        assert_eq!(stage.base, Base::Template("mine".parse().unwrap()));
        assert_eq!((plan.before, plan.steps), (1, 6));
        let all = kinds(&plan);
        let StepKind::Run(run) = &all[1] else {
            panic!("{all:?}");
        };
        assert_eq!(run.command, Command::Shell("make".into()));
        assert_eq!(run.user.as_deref(), Some("root"));
        assert!(run.network);
        assert!(!stage.steps[1].force && stage.steps[2].force && !stage.steps[3].force);
        let StepKind::Copy(copy) = &all[3] else {
            panic!("{all:?}");
        };
        assert_eq!(
            copy.from,
            CopyFrom::Upload {
                hash: "ab12".into()
            }
        );
        assert_eq!(copy.sources, ["src/*"]);
        let place = Place {
            to: "/app/".into(),
            owner: None,
            mode: Some(0o755),
        };
        assert_eq!(copy.place, place);
        assert_eq!(all[4], StepKind::Workdir("/app".into()));
        let user = StepKind::User {
            name: "me".into(),
            create: true,
            sudo: true,
        };
        assert_eq!(all[5], user);
        let pairs = vec![("A".into(), "secret".into()), ("B".into(), String::new())];
        assert_eq!(all[6], StepKind::Env(pairs));
        assert_eq!(stage.steps[6].text, "ENV A B", "values may be secrets");
        let start = Command::Shell("serve".into());
        assert_eq!(all[7], StepKind::Start(Some(start)));
        assert_eq!(all[8], StepKind::Ready(Some("curl localhost".into())));
    }

    #[test]
    fn an_image_gets_the_usual_user_and_ours_stands_in_for_the_standard_one() {
        let plan = read(&json!({ "fromImage": "e2bdev/base" })).unwrap();
        let base = Base::Template("base".parse().unwrap());
        assert_eq!(plan.plan.stages[0].base, base);
        // It is not here.
        let plan = read(&json!({ "fromImage": "e2bdev/code-interpreter:latest" })).unwrap();
        assert!(matches!(plan.plan.stages[0].base, Base::Image { .. }));
        let plan = read(&json!({
            "fromImage": "debian:12", "force": true,
            "fromImageRegistry": { "type": "registry", "username": "me", "password": "p" },
            "steps": [{ "type": "RUN", "args": ["true"] }],
        }))
        .unwrap();
        assert_eq!((plan.before, plan.steps), (3, 1));
        let all = kinds(&plan);
        assert!(matches!(&all[0], StepKind::User { name, sudo: true, .. } if name == "user"));
        assert_eq!(all[1], StepKind::Workdir("/home/user".into()));
        assert!(plan.plan.stages[0].steps[3].force);
        let Base::Image { auth, .. } = &plan.plan.stages[0].base else {
            panic!("no image");
        };
        assert_eq!(auth.as_ref().unwrap().username, "me");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, words) in [
            (json!({}), "fromImage"),
            (
                json!({ "fromImage": "a", "fromTemplate": "b" }),
                "fromImage",
            ),
            (json!({ "fromTemplate": "none" }), "fromTemplate"),
            (
                json!({ "fromTemplate": "mine", "steps": [{ "type": "RUN" }] }),
                "steps[0]: args",
            ),
            (
                json!({ "fromTemplate": "mine", "steps": [{ "type": "COPY", "args": ["a", "b"] }] }),
                "filesHash",
            ),
            (
                json!({ "fromTemplate": "mine", "steps": [{ "type": "NO", "args": [] }] }),
                "type",
            ),
            (
                json!({ "fromTemplate": "mine", "steps": [{ "type": "ENV", "args": ["A"] }] }),
                "no value",
            ),
            (
                json!({ "fromTemplate": "mine", "steps": [{ "type": "RUN", "args": ["a\u{0}"] }] }),
                "NUL",
            ),
            (
                json!({ "fromTemplate": "mine", "steps": [
                    { "type": "COPY", "args": ["a", "b", "", "rw"], "filesHash": "a" }] }),
                "mode",
            ),
        ] {
            let error = read(&body).unwrap_err();
            assert_eq!(error.status.as_u16(), 400);
            assert!(error.message.contains(words), "{}", error.message);
        }
        let steps = vec![json!({ "type": "RUN", "args": ["a"] }); MAX_STEPS + 1];
        let error = read(&json!({ "fromTemplate": "mine", "steps": steps })).unwrap_err();
        assert!(error.message.contains("more than"));
    }
}
