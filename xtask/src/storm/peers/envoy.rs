//! Envoy: checks, outlier detection by errors in a row and by their share, retries elsewhere within a budget, POSTs only
//! where nothing was sent, and a bound on what is under way.

use std::path::PathBuf;
use std::process::Command;

use super::{ACCESS_LOG, Setting};
use crate::process;

/// Requests under way at once, of all instances: 64 for each.
const UNDER_WAY: u32 = 256;

/// The program: on the path, or in the Python package that carries it.
pub(super) fn find() -> Option<PathBuf> {
    let ask = "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
    let packaged = || {
        let output = Command::new(process::find("python3")?).args(["-c", ask]).output().ok()?;
        let file = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        file.is_file().then_some(file)
    };
    packaged().or_else(|| process::find("envoy"))
}

/// The same for every run: quiet, no hot restart (a machine may run several), a log that is written soon.
pub(super) fn arguments(command: &mut Command) -> &mut Command {
    command.args(["--log-level", "error", "--disable-hot-restart", "--file-flush-interval-msec", "500"])
}

pub(super) fn configuration(setting: &Setting<'_>) -> String {
    let Setting { web, .. } = setting;
    let log = setting.file(ACCESS_LOG);
    let routes = if setting.least { LEAST_ROUTES } else { CAREFUL_ROUTES };
    let cluster = if setting.least { String::new() } else { careful(setting.expect_body) };
    let endpoints = setting.each(|_, port| {
        format!(
            "          - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}\n"
        )
    });
    format!(
        r#"static_resources:
  listeners:
  - name: web
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {web} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          generate_request_id: false
          preserve_external_request_id: true
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
              log_format:
                text_format_source:
                  inline_string: "%REQ(X-REQUEST-ID)%^%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%, %UPSTREAM_REQUEST_ATTEMPT_COUNT% attempts^%DURATION% ms at %UPSTREAM_HOST%\n"
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["*"]
              routes:
{routes}  clusters:
  - name: shop
    type: STATIC
{cluster}    load_assignment:
      cluster_name: shop
      endpoints:
      - lb_endpoints:
{endpoints}"#,
        log = log.display()
    )
}

const LEAST_ROUTES: &str = "              - match: { prefix: / }\n                route: { cluster: shop }\n";

const CAREFUL_ROUTES: &str = r#"              - match: { prefix: /, headers: [{ name: ":method", string_match: { exact: POST } }] }
                route:
                  cluster: shop
                  timeout: 1.9s
                  retry_policy:
                    retry_on: connect-failure,refused-stream,reset-before-request
                    num_retries: 3
                    host_selection_retry_max_attempts: 5
                    retry_host_predicate:
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
              - match: { prefix: / }
                route:
                  cluster: shop
                  timeout: 1.9s
                  retry_policy:
                    retry_on: 5xx,reset,connect-failure,refused-stream
                    num_retries: 2
                    per_try_timeout: 0.6s
                    host_selection_retry_max_attempts: 5
                    retry_host_predicate:
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
"#;

fn careful(expect_body: bool) -> String {
    // The text that the body must hold, as hexadecimal: "well".
    let receive = if expect_body { "\n        receive: [{ text: \"77656c6c\" }]" } else { "" };
    format!(
        "    connect_timeout: 0.25s
    lb_policy: LEAST_REQUEST
    circuit_breakers:
      thresholds:
      - max_connections: 4096
        max_pending_requests: {UNDER_WAY}
        max_requests: {UNDER_WAY}
        retry_budget: {{ budget_percent: {{ value: 20 }}, min_retry_concurrency: 64 }}
    outlier_detection:
      consecutive_5xx: 3
      consecutive_gateway_failure: 3
      enforcing_consecutive_gateway_failure: 100
      interval: 0.5s
      base_ejection_time: 2s
      max_ejection_percent: 50
      successful_active_health_check_uneject_host: false
      failure_percentage_threshold: 40
      enforcing_failure_percentage: 100
      failure_percentage_minimum_hosts: 3
      failure_percentage_request_volume: 20
      enforcing_success_rate: 0
    health_checks:
    - timeout: 0.5s
      interval: 0.5s
      no_traffic_interval: 0.5s
      unhealthy_threshold: 2
      healthy_threshold: 2
      http_health_check:
        path: /health{receive}
"
    )
}
