//! nginx. It has no active checks; two failures take a server out for two seconds (its shortest sensible time: it counts
//! in whole seconds), `max_conns` refuses at once what a server should not get, and POSTs are repeated only after a
//! connection that did not come about (`non_idempotent` is off).

use super::{ACCESS_LOG, Setting};

pub(super) fn configuration(setting: &Setting<'_>) -> String {
    let Setting { web, dir, .. } = setting;
    let (dir, log) = (dir.display(), setting.file(ACCESS_LOG));
    let (upstream, proxy) = if setting.least { least(setting) } else { careful(setting) };
    format!(
        "daemon off;\nworker_processes auto;\nworker_rlimit_nofile 20000;\npid {dir}/nginx.pid;\n\
         error_log stderr crit;\nevents {{ worker_connections 8192; }}\n\
         http {{\n\
         log_format story '$http_x_request_id^$status after [$upstream_status]^$request_time s at [$upstream_addr], \
         [$upstream_response_time] s';\n\
         access_log {} story buffer=64k flush=1s;\nkeepalive_requests 1000000000;\n\
         upstream shop {{ {upstream} }}\n\
         server {{ listen 127.0.0.1:{web} backlog=4096; location / {{ proxy_pass http://shop; {proxy} }} }}\n}}\n",
        log.display()
    )
}

fn least(setting: &Setting<'_>) -> (String, &'static str) {
    (setting.each(|_, port| format!("server 127.0.0.1:{port}; ")), "")
}

fn careful(setting: &Setting<'_>) -> (String, &'static str) {
    let servers = setting.each(|_, port| format!("server 127.0.0.1:{port} max_fails=2 fail_timeout=2s max_conns=64; "));
    let upstream = format!("zone shop 256k; random two least_conn; {servers} keepalive 128; keepalive_timeout 4s;");
    let proxy = "proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                 proxy_connect_timeout 250ms; proxy_read_timeout 600ms; proxy_send_timeout 600ms; \
                 proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504; \
                 proxy_next_upstream_tries 3; proxy_next_upstream_timeout 1900ms;";
    (upstream, proxy)
}
