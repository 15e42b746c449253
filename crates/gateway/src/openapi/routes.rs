//! The routes, one by one.

/// Whether a request needs a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Needed,
    Open,
}

/// A route with one method.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// As the router has it.
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) key: Key,
    /// Fields of the query: name, type, what it is.
    pub(super) query: Vec<(&'static str, &'static str, &'static str)>,
    /// The shape of the body.
    pub(super) body: Option<&'static str>,
    /// Statuses with the shape of what is answered.
    pub(super) answers: Vec<(u16, &'static str)>,
}

impl Route {
    fn open(mut self) -> Self {
        self.key = Key::Open;
        self
    }

    fn query(mut self, name: &'static str, kind: &'static str, about: &'static str) -> Self {
        self.query.push((name, kind, about));
        self
    }

    fn body(mut self, shape: &'static str) -> Self {
        self.body = Some(shape);
        self
    }

    fn gives(mut self, status: u16, shape: &'static str) -> Self {
        self.answers.push((status, shape));
        self
    }

    /// What it belongs to.
    pub(super) fn tag(&self) -> &'static str {
        match (self.path, self.key) {
            (path, _) if path.starts_with("/v1/") || path.starts_with("/api/v1/") => "native",
            (_, Key::Open) => "operator",
            ("/metrics", _) => "operator",
            _ => "e2b",
        }
    }
}

fn route(method: &'static str, path: &'static str, about: &'static str) -> Route {
    Route {
        method,
        path,
        about,
        key: Key::Needed,
        query: Vec::new(),
        body: None,
        answers: Vec::new(),
    }
}

/// All of them.
pub(super) fn all() -> Vec<Route> {
    [
        operator(),
        sandboxes(),
        life(),
        seen(),
        keys(),
        templates(),
        native(),
        commands(),
        execute(),
        later(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn operator() -> Vec<Route> {
    vec![
        route("get", "/", "The page, or what this is")
            .open()
            .gives(200, "text/html"),
        route("get", "/page/{file}", "A file of the page")
            .open()
            .gives(200, "text/plain"),
        route("get", "/health", "Whether the server answers")
            .open()
            .gives(200, "Health"),
        route("get", "/openapi.json", "This document")
            .open()
            .gives(200, "application/json"),
        route(
            "get",
            "/metrics",
            "What is counted; without a key from this machine only",
        )
        .gives(200, "application/openmetrics-text"),
    ]
}

fn sandboxes() -> Vec<Route> {
    let listed = |route: Route| {
        route
            .query(
                "metadata",
                "string",
                "Notes that they have: name=value&…, each encoded once more",
            )
            .query("state", "string", "running, paused, or both with a comma")
            .query("template", "string", "What they are made from")
            .query("startedAfter", "string", "The earliest start, RFC 3339")
            .query("order", "string", "asc or desc by start; desc when absent")
            .query("limit", "integer", "1 to 100")
            .query(
                "nextToken",
                "string",
                "From the header x-next-token of the page before",
            )
            .gives(200, "[ListedSandbox]")
    };
    vec![
        route("post", "/v2/sandboxes", "Make a sandbox")
            .body("NewSandbox")
            .gives(201, "Sandbox"),
        route("post", "/sandboxes", "Make a sandbox; first generation")
            .body("NewSandbox")
            .gives(201, "Sandbox"),
        listed(route("get", "/v2/sandboxes", "Those that live, in pages")),
        listed(route("get", "/sandboxes", "Those that run")),
        route("get", "/sandboxes/{id}", "About one").gives(200, "SandboxDetail"),
        route("delete", "/sandboxes/{id}", "End one").gives(204, ""),
    ]
}

fn life() -> Vec<Route> {
    vec![
        route(
            "post",
            "/sandboxes/{id}/timeout",
            "Set how long it lives from now",
        )
        .body("Timeout")
        .gives(204, ""),
        route("post", "/sandboxes/{id}/refreshes", "Let it live longer")
            .body("Refresh")
            .gives(204, ""),
        route(
            "post",
            "/v2/sandboxes/{id}/connect",
            "Resume it if it is paused; let it live longer",
        )
        .body("Timeout")
        .gives(200, "Sandbox")
        .gives(201, "Sandbox"),
        route(
            "post",
            "/sandboxes/{id}/connect",
            "As /v2; first generation",
        )
        .body("Timeout")
        .gives(200, "Sandbox")
        .gives(201, "Sandbox"),
        route("post", "/sandboxes/{id}/resume", "Resume it")
            .body("Timeout")
            .gives(201, "Sandbox"),
        route(
            "post",
            "/sandboxes/{id}/pause",
            "Stop it with everything in memory",
        )
        .gives(204, ""),
        route(
            "put",
            "/sandboxes/{id}/network",
            "Keep other rules for its network",
        )
        .body("Network")
        .gives(204, ""),
    ]
}

fn seen() -> Vec<Route> {
    vec![
        route("get", "/sandboxes/{id}/metrics", "What it used")
            .query("start", "integer", "The first second since 1970")
            .query("end", "integer", "The last second since 1970")
            .gives(200, "[SandboxMetric]"),
        route("get", "/sandboxes/metrics", "What several used last")
            .query(
                "sandbox_ids",
                "string",
                "Up to 100 ids with commas between them",
            )
            .gives(200, "SandboxesMetrics"),
        route(
            "get",
            "/sandboxes/{id}/logs",
            "What happened to it, also after its end; first generation",
        )
        .query("start", "integer", "The first millisecond since 1970")
        .query("limit", "integer", "Up to 1000 entries")
        .gives(200, "SandboxLogs"),
        route(
            "get",
            "/v2/sandboxes/{id}/logs",
            "What happened to it, also after its end",
        )
        .query(
            "cursor",
            "integer",
            "The millisecond since 1970 to begin at",
        )
        .query("direction", "string", "forward or backward")
        .query("level", "string", "The least: debug, info, warn or error")
        .query("search", "string", "What is in the message")
        .query("limit", "integer", "Up to 1000 entries")
        .gives(200, "SandboxLogsV2"),
    ]
}

fn keys() -> Vec<Route> {
    vec![
        route("get", "/teams", "The team of the key").gives(200, "[Team]"),
        route("get", "/api-keys", "The keys, as far as they may be shown").gives(200, "[ApiKey]"),
        route("post", "/api-keys", "Make a key; it is told this once")
            .body("NewApiKey")
            .gives(201, "ApiKey"),
        route("patch", "/api-keys/{id}", "Name a key")
            .body("NewApiKey")
            .gives(204, ""),
        route("delete", "/api-keys/{id}", "Take a key away").gives(204, ""),
    ]
}

fn native() -> Vec<Route> {
    let followed = |route: Route| {
        route
            .query(
                "follow",
                "boolean",
                "Follow it as server-sent events; Last-Event-ID goes on from there",
            )
            .gives(200, "Events")
    };
    vec![
        route(
            "get",
            "/v1/sandboxes",
            "Those that live with what they use, or those that ended last",
        )
        .query("state", "string", "live or ended; live when absent")
        .query(
            "limit",
            "integer",
            "1 to 100 live ones, 1 to 1000 ended ones",
        )
        .query("nextToken", "string", "From the page before, of live ones")
        .gives(200, "Sandboxes"),
        route(
            "post",
            "/v1/sandboxes",
            "Make one, with everything that can be said about it; may carry an Idempotency-Key",
        )
        .body("NewNativeSandbox")
        .gives(201, "NativeSandbox"),
        route(
            "get",
            "/v1/pools",
            "What waits ready, and how often that was enough",
        )
        .gives(200, "Pools"),
        route(
            "get",
            "/v1/sandboxes/{id}/usage",
            "What it has used, by the host's own counters",
        )
        .gives(200, "Usage"),
        route(
            "delete",
            "/v1/sandboxes/{id}/processes",
            "Kill every process in it but the first",
        )
        .gives(204, ""),
        route(
            "get",
            "/v1/sandboxes/{id}/tcp/{port}",
            "A port in it, byte for byte, after an upgrade to tcp",
        )
        .gives(101, ""),
        followed(route(
            "get",
            "/v1/events",
            "The last that happened to all sandboxes of the team",
        )),
        followed(route(
            "get",
            "/v1/sandboxes/{id}/events",
            "What happened to it, also after its end",
        )),
        route(
            "get",
            "/v1/sandboxes/{id}/terminal",
            "A terminal in it, over a WebSocket",
        )
        .query("cols", "integer", "Columns, 80 when absent")
        .query("rows", "integer", "Rows, 24 when absent")
        .query("user", "string", "Whose shell it is")
        .gives(101, ""),
    ]
}

/// Code in a sandbox of its own; each route has a second name below `/api`.
fn execute() -> Vec<Route> {
    let whole = |path| {
        route(
            "post",
            path,
            "Run code in a fresh sandbox; as server-sent events with Accept: text/event-stream",
        )
        .body("NewRun")
        .gives(200, "Run")
    };
    let batch = |path| {
        route(
            "post",
            path,
            "Run several pieces of code, each in a fresh sandbox",
        )
        .body("NewBatch")
        .gives(200, "Batch")
    };
    let socket = |path| {
        route(
            "get",
            path,
            "Run code in a fresh sandbox over a WebSocket, with input and output as they come",
        )
        .gives(101, "")
    };
    vec![
        whole("/v1/execute"),
        whole("/api/v1/execute"),
        batch("/v1/execute/batch"),
        batch("/api/v1/execute/batch"),
        socket("/v1/ws"),
        socket("/api/v1/ws"),
    ]
}

/// Commands that happen once.
fn commands() -> Vec<Route> {
    let bytes = |route: Route| {
        route
            .query("offset", "integer", "From which byte on, 0 when absent")
            .query("limit", "integer", "At most so many bytes")
            .gives(200, "application/octet-stream")
    };
    vec![
        route(
            "post",
            "/v1/sandboxes/{sandbox}/commands",
            "Start a command; may carry an Idempotency-Key",
        )
        .body("NewCommand")
        .gives(201, "Command"),
        route(
            "get",
            "/v1/sandboxes/{sandbox}/commands",
            "All commands, the oldest first",
        )
        .gives(200, "Commands"),
        route(
            "get",
            "/v1/sandboxes/{sandbox}/commands/{command}",
            "One command",
        )
        .gives(200, "Command"),
        route(
            "get",
            "/v1/sandboxes/{sandbox}/commands/{command}/wait",
            "One command, as soon as it is over or after so long",
        )
        .query("timeout_ms", "integer", "How long at most, in milliseconds")
        .gives(200, "Command"),
        route(
            "post",
            "/v1/sandboxes/{sandbox}/commands/{command}/signal",
            "Send it a signal",
        )
        .body("SignalCommand")
        .gives(204, ""),
        route(
            "post",
            "/v1/sandboxes/{sandbox}/commands/{command}/stdin",
            "Write to its input: the body's bytes",
        )
        .query("close", "boolean", "Close the input afterwards")
        .gives(204, ""),
        bytes(route(
            "get",
            "/v1/sandboxes/{sandbox}/commands/{command}/stdout",
            "Bytes of its output, while it runs and afterwards",
        )),
        bytes(route(
            "get",
            "/v1/sandboxes/{sandbox}/commands/{command}/stderr",
            "Bytes of its error output, while it runs and afterwards",
        )),
        route(
            "get",
            "/v1/sandboxes/{sandbox}/commands/{command}/output",
            "Both outputs as server-sent events; Last-Event-ID goes on from there",
        )
        .gives(200, "text/event-stream"),
    ]
}

fn templates() -> Vec<Route> {
    let told = |route: Route, from| {
        route
            .query(from, "integer", "How many entries are passed over")
            .query("limit", "integer", "Up to 100 entries")
            .query("level", "string", "The least: debug, info, warn or error")
    };
    let begin = |path, about| {
        route("post", path, about)
            .body("NewTemplate")
            .gives(202, "BegunBuild")
    };
    let publish = |path| {
        route("patch", path, "Let other teams use it, or not")
            .body("PublishTemplate")
            .gives(200, "TemplateNames")
    };
    vec![
        route("get", "/templates", "The team's templates and the server's")
            .gives(200, "[Template]"),
        route("get", "/v2/templates", "The same").gives(200, "[Template]"),
        route("get", "/default-templates", "The templates of the server").gives(200, "[Template]"),
        begin(
            "/v3/templates",
            "Begin a build of a template, which is made if it is not there",
        ),
        begin("/v2/templates", "The same; second generation"),
        route("get", "/templates/{id}", "One template with its builds")
            .gives(200, "TemplateDetail"),
        route(
            "delete",
            "/templates/{id}",
            "Remove it; its trees go with the last sandbox of it",
        )
        .gives(204, ""),
        publish("/v2/templates/{id}"),
        publish("/templates/{id}"),
        route(
            "get",
            "/templates/{id}/files/{hash}",
            "Whether an archive is there, and the address to put it at",
        )
        .gives(201, "UploadPlace"),
        route(
            "put",
            "/templates/{id}/files/{hash}",
            "Put an archive, at an address that was given",
        )
        .open()
        .gives(201, ""),
        route(
            "post",
            "/v2/templates/{id}/builds/{build}",
            "Say what is built, and start it",
        )
        .body("StartBuild")
        .gives(202, ""),
        route("delete", "/v1/templates/{id}/builds/{build}", "End a build").gives(204, ""),
        told(
            route(
                "get",
                "/templates/{id}/builds/{build}/status",
                "Where a build stands, and what it told",
            ),
            "logsOffset",
        )
        .gives(200, "BuildStatus"),
        told(
            route(
                "get",
                "/templates/{id}/builds/{build}/logs",
                "What a build told",
            ),
            "cursor",
        )
        .gives(200, "BuildLogs"),
        route("get", "/templates/{id}/tags", "Where its tags lead").gives(200, "[TemplateTag]"),
        route("post", "/templates/tags", "Let tags lead to a build")
            .body("NewTags")
            .gives(201, "TaggedBuild"),
        route("delete", "/templates/tags", "Take tags away")
            .body("OldTags")
            .gives(204, ""),
        route(
            "get",
            "/templates/aliases/{alias}",
            "Which template a name leads to",
        )
        .gives(200, "TemplateAlias"),
    ]
}

/// What E2B has and is not built here.
fn later() -> Vec<Route> {
    let forks = route("post", "/sandboxes/{id}/fork", "Forks of a sandbox");
    let snapshots = route(
        "post",
        "/sandboxes/{id}/snapshots",
        "Snapshots of a sandbox",
    );
    let others = [
        ("/snapshots", "Snapshots"),
        ("/volumes", "Volumes"),
        ("/volumes/{*rest}", "Volumes"),
        ("/volumecontent/{*rest}", "Files of volumes"),
        ("/secrets", "Secrets"),
        ("/secrets/{*rest}", "Secrets"),
    ];
    let others = others.map(|(path, about)| route("get", path, about));
    let all = [forks, snapshots].into_iter().chain(others);
    all.map(|route| route.gives(501, "Error")).collect()
}
