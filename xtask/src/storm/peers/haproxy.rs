//! HAProxy: checks, `observe layer7` with `on-error mark-down` for what checks do not see, retries on another server with
//! POSTs kept out of those after the request was sent, and a bound per server with a short wait for it.

use super::Setting;

/// What callers got, and what of it was whose, for each request.
const LOG: &str = "%[capture.req.hdr(0)]^%ST %tsc, %rc retries^%Ta ms at %s, queue %Tw, connect %Tc, answer %Tr";

pub(super) fn configuration(setting: &Setting<'_>) -> String {
    let Setting { web, .. } = setting;
    let (defaults, backend) = if setting.least { least(setting) } else { careful(setting) };
    format!(
        "global\n  maxconn 8192\n  log stdout format raw local0 info\n\
         defaults\n  mode http\n  log global\n{defaults}\
         frontend web\n  bind 127.0.0.1:{web} backlog 4096\n  http-request capture req.hdr(x-request-id) len 64\n\
         \x20 log-format \"{LOG}\"\n  default_backend shop\n\
         backend shop\n{backend}"
    )
}

/// Without the three timeouts it warns, and waits for ever.
fn least(setting: &Setting<'_>) -> (String, String) {
    let servers = setting.each(|number, port| format!("  server s{number} 127.0.0.1:{port}\n"));
    ("  timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n".to_owned(), servers)
}

fn careful(setting: &Setting<'_>) -> (String, String) {
    let expect = if setting.expect_body { "string well" } else { "status 200" };
    let servers = setting.each(|number, port| format!("  server s{number} 127.0.0.1:{port}\n"));
    let defaults = "\x20 timeout connect 250ms\n  timeout client 60s\n  timeout server 600ms\n  timeout check 500ms\n\
                    \x20 timeout queue 50ms\n  timeout http-request 10s\n  retries 3\n  option redispatch 1\n\
                    \x20 retry-on conn-failure empty-response junk-response response-timeout 500 502 503 504\n";
    let backend = format!(
        "  balance leastconn\n  http-request disable-l7-retry if METH_POST\n\
         \x20 option httpchk GET /health\n  http-check expect {expect}\n\
         \x20 default-server check inter 500ms fall 2 rise 2 observe layer7 error-limit 2 on-error mark-down maxconn 64\n\
         {servers}"
    );
    (defaults.to_owned(), backend)
}
