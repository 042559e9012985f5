//! The admin API's description in OpenAPI 3.1.
//!
//! Written by hand, because it is read by people: each route says what it does and each member of a view what it means.
//! A test holds it to the table of routes, in both directions.

use serde_json::{Value, json};

/// The whole description.
pub(crate) fn description() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Look at and steer a running node.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{}, { "token": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The value of admin.token, when it is set." },
            },
            "responses": {
                "problem": {
                    "description": "What is wrong and how to mend it (RFC 9457).",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
            "schemas": schemas(),
        },
    })
}

fn paths() -> Value {
    let mut paths = services();
    merge(&mut paths, node());
    merge(&mut paths, requests());
    merge(&mut paths, probes());
    paths
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn services() -> Value {
    json!({
        "/v1/services": { "get": {
            "operationId": "listServices",
            "summary": "Every service with its endpoints, in the order of the configuration.",
            "responses": {
                "200": answer("The services.", &json!({
                    "type": "object",
                    "required": ["services"],
                    "properties": { "services": { "type": "array", "items": reference("Service") } },
                })),
                "default": problem(),
            },
        } },
        "/v1/services/{name}": { "get": {
            "operationId": "getService",
            "summary": "One service: its breaker, its budget, and each endpoint with its state and why.",
            "parameters": [name()],
            "responses": { "200": answer("The service.", &reference("Service")), "default": problem() },
        } },
        "/v1/services/{name}/endpoints/{address}/state": { "put": {
            "operationId": "orderEndpoint",
            "summary": "Drain, eject or restore an endpoint. The order holds through reloads until it is taken back.",
            "parameters": [name(), parameter("address", "The endpoint's address and port, as in 127.0.0.1:9101.")],
            "requestBody": state(&["ready", "draining", "ejected"]),
            "responses": { "200": answer("The service as it is now.", &reference("Service")), "default": problem() },
        } },
        "/v1/services/{name}/breaker": { "put": {
            "operationId": "orderBreaker",
            "summary": "Force a breaker open or closed, or let it decide again. One that is forced open always refuses.",
            "parameters": [name()],
            "requestBody": state(&["auto", "open", "closed"]),
            "responses": { "200": answer("The service as it is now.", &reference("Service")), "default": problem() },
        } },
        "/v1/services/{name}/fault": {
            "put": {
                "operationId": "orderFault",
                "summary": "Let attempts of a service fail or be slow on purpose, until the lease ends. In place of the fault before.",
                "parameters": [name()],
                "requestBody": { "required": true, "content": { "application/json": { "schema": reference("FaultOrder") } } },
                "responses": { "200": answer("The service as it is now.", &reference("Service")), "default": problem() },
            },
            "delete": {
                "operationId": "endFault",
                "summary": "End a service's fault now.",
                "parameters": [name()],
                "responses": { "200": answer("The service as it is now.", &reference("Service")), "default": problem() },
            },
        },
    })
}

fn node() -> Value {
    json!({
        "/v1/config": { "get": {
            "operationId": "getConfiguration",
            "summary": "The effective configuration: every value and where it came from; a secret as the place where it is kept.",
            "responses": { "200": answer("The configuration.", &json!({ "type": "object" })), "default": problem() },
        } },
        "/v1/reload": { "post": {
            "operationId": "reload",
            "summary": "Read the configuration again. Whole or not at all: a wrong file changes nothing.",
            "responses": {
                "200": answer("It is in force.", &json!({ "type": "object" })),
                "422": problem(),
                "default": problem(),
            },
        } },
        "/openapi.json": { "get": {
            "operationId": "describe",
            "summary": "This description.",
            "responses": { "200": answer("OpenAPI 3.1.", &json!({ "type": "object" })), "default": problem() },
        } },
    })
}

fn requests() -> Value {
    let mut stories = answer(
        "What was decided, in order.",
        &json!({
            "type": "object",
            "required": ["records"],
            "properties": { "records": { "type": "array", "items": reference("Record") } },
        }),
    );
    merge(&mut stories["content"], json!({ "text/plain": { "schema": { "type": "string" } } }));
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let format = || query("format", words(&["json", "text"]), "text tells it as a story, as Accept: text/plain does.");
    json!({
        "/v1/requests": { "get": {
            "operationId": "listRequests",
            "summary": "The last requests, the newest first.",
            "parameters": [
                query("unhappy", json!({ "type": "boolean", "default": false }), "Only those that got no whole answer below 500 of their service."),
                query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 128, "default": 20 }), "How many at the most."),
                format(),
            ],
            "responses": { "200": stories.clone(), "400": problem(), "default": problem() },
        } },
        "/v1/requests/{id}": { "get": {
            "operationId": "explainRequest",
            "summary": "What was decided about one request, and why.",
            "parameters": [parameter("id", "The request's id, as in x-request-id."), format()],
            "responses": { "200": stories, "404": problem(), "default": problem() },
        } },
    })
}

fn probes() -> Value {
    json!({
        "/metrics": { "get": {
            "operationId": "metrics",
            "summary": "All metrics for Prometheus. Also on the probe address.",
            "responses": {
                "200": {
                    "description": "Prometheus text, version 0.0.4.",
                    "content": { "text/plain": { "schema": { "type": "string" } } },
                },
                "default": problem(),
            },
        } },
        "/health/live": { "get": {
            "operationId": "live",
            "summary": "Whether the process runs. Also on the probe address; needs no token.",
            "responses": { "200": answer("It does.", &flag("live")), "default": problem() },
        } },
        "/health/ready": { "get": {
            "operationId": "ready",
            "summary": "Whether the node takes traffic; not once it is told to stop. Also on the probe address; needs no token.",
            "responses": {
                "200": answer("It does.", &flag("ready")),
                "503": answer("It does not.", &flag("ready")),
                "default": problem(),
            },
        } },
    })
}

fn schemas() -> Value {
    json!({
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "reason", "detail", "mend"],
            "properties": {
                "type": text("about:blank"),
                "title": text("The status in words."),
                "status": whole("The HTTP status."),
                "reason": text("The kind of error in one word."),
                "detail": text("What is wrong."),
                "mend": text("How to mend it."),
                "problems": { "type": "array", "description": "After a reload: each problem of the configuration." },
            },
        },
        "Service": service_schema(),
        "FaultOrder": fault_order_schema(),
        "Endpoint": endpoint_schema(),
        "Record": record_schema(),
    })
}

fn service_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": text("Its name in the configuration."),
            "breaker": {
                "type": "object",
                "properties": {
                    "state": words(&["closed", "open", "half_open"]),
                    "forced": { "type": "boolean", "description": "An operator said so." },
                    "until_ms": whole("When it half-opens, in milliseconds from now."),
                    "why": text("Why it is so."),
                },
            },
            "retry_budget_tokens": maybe("number", "Retries that the budget would pay for; null without a budget."),
            "waiting": whole("Calls that wait for a permit."),
            "in_use": whole("Attempts that run."),
            "concurrency_limit": { "type": ["integer", "string"], "description": "Attempts that may run at once now, or \"unlimited\"." },
            "concurrency_ceiling": { "type": ["integer", "string"], "description": "Attempts that may run at once at the most, or \"unlimited\"." },
            "fault": {
                "type": ["object", "null"],
                "description": "What an operator lets it have on purpose; null without a drill.",
                "properties": {
                    "kind": words(&["delay", "abort", "reset"]),
                    "delay_ms": whole("How much later an attempt begins."),
                    "status": whole("What an attempt is answered."),
                    "share": { "type": "number", "description": "Of the attempts, from 0 to 1." },
                    "endpoint": maybe("string", "Where alone; null for all."),
                    "until_ms": whole("When its lease ends, in milliseconds from now."),
                },
            },
            "ready": whole("Endpoints that take calls."),
            "endpoints": { "type": "array", "items": reference("Endpoint") },
        },
    })
}

fn fault_order_schema() -> Value {
    let pattern =
        |pattern: &str, description: &str| json!({ "type": "string", "pattern": pattern, "description": description });
    let delay = pattern(
        "^([1-9][0-9]{0,2}ms|([1-9][0-9]?|[12][0-9]{2}|300)s|[1-5]m)$",
        "How much later an attempt begins; up to 5 min.",
    );
    let status = json!({ "type": "integer", "minimum": 500, "maximum": 599, "description": "What an attempt is answered. Default 503." });
    let lease = "^([1-9][0-9]{0,2}(ms|s)|([1-9]|[1-5][0-9]|60)m|1h)$";
    let kind = |kind: &str, required: &[&str], more: Value| {
        let mut properties = json!({
            "kind": { "const": kind },
            "share": pattern("^([0-9]|[1-9][0-9]|100)%$", "Of the attempts. Default all."),
            "endpoint": text("At this endpoint alone, as 127.0.0.1:9101."),
            "lease": pattern(lease, "When it ends by itself; up to 1 h."),
        });
        merge(&mut properties, more);
        json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
    };
    json!({ "oneOf": [
        kind("delay", &["kind", "lease", "delay"], json!({ "delay": delay })),
        kind("abort", &["kind", "lease"], json!({ "status": status })),
        kind("reset", &["kind", "lease"], json!({})),
    ] })
}

fn endpoint_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "address": text("Address and port."),
            "state": words(&["ready", "ejected", "probing", "draining"]),
            "why": maybe("string", "Why it is not ready, or gets less than its share; null otherwise."),
            "cause": maybe("string", "The same in one word."),
            "until_ms": maybe("integer", "When it is probed or tried at the earliest, in milliseconds from now."),
            "weight": whole("Its share against the others'."),
            "zone": text("Where it stands."),
            "backup": { "type": "boolean", "description": "Used only when too few others are left." },
            "in_flight": whole("Attempts that run there."),
            "latency_ms": maybe("number", "The moving average of the time to an answer's head."),
            "successes": whole("Attempts that went well."),
            "failures": whole("Attempts that failed by its fault."),
            "ejections": whole("How often it was ejected."),
            "last_check": {
                "type": ["object", "null"],
                "properties": {
                    "passed": { "type": "boolean" },
                    "failure": text("How it failed."),
                    "ago_ms": whole("How long ago it ended."),
                },
            },
        },
    })
}

fn record_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "request_id": text("The request's id; of a long one the first 64 bytes."),
            "route": text("The route that matched: its path, with what tells it from others with the same."),
            "service": text("The service that it led to."),
            "method": text("The method."),
            "path": text("The beginning of the path, without the query."),
            "path_cut": { "type": "boolean", "description": "There was more of the path." },
            "same_id": maybe("integer", "How many records have this id, of which 16 at most are shown; null in a list of the last requests."),
            "age_ms": { "type": "number", "description": "How long ago it arrived." },
            "duration_ms": { "type": "number", "description": "From its arrival to its end." },
            "deadline_ms": { "type": "number", "description": "From its arrival to its deadline." },
            "endpoints": { "type": "array", "items": { "type": "string" }, "description": "The endpoint of each attempt." },
            "decisions": { "type": "array", "items": {
                "type": "object",
                "properties": {
                    "after_ms": { "type": "number", "description": "Since the arrival." },
                    "event": text("What was decided, in one word."),
                    "text": text("The same as a sentence."),
                    "because": text("The key of the configuration behind it."),
                    "setting": text("What that key is set to now, and where."),
                    "beside": text("One more key that has a part in it."),
                    "beside_setting": text("What that one is set to now, and where."),
                },
            } },
            "decisions_dropped": whole("Decisions that found no room."),
            "advice": maybe("string", "What can be done about it; null where there is nothing to do."),
        },
    })
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn problem() -> Value {
    json!({ "$ref": "#/components/responses/problem" })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn name() -> Value {
    parameter("name", "The service's name in the configuration.")
}

fn parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" }, "description": description })
}

fn state(states: &[&str]) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["state"],
        "additionalProperties": false,
        "properties": { "state": words(states) },
    });
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn flag(name: &str) -> Value {
    json!({ "type": "object", "required": [name], "properties": { name: { "type": "boolean" } } })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn whole(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn maybe(kind: &str, description: &str) -> Value {
    json!({ "type": [kind, "null"], "description": description })
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}
