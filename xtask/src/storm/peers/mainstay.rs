//! Ours.

use super::Setting;

pub(super) fn configuration(setting: &Setting<'_>) -> String {
    let Setting { web, admin, .. } = setting;
    let endpoints = setting.each(|_, port| format!("\"127.0.0.1:{port}\", "));
    let careful = if setting.least { String::new() } else { careful(setting.expect_body) };
    let timeout = if setting.least { "" } else { "timeout = \"1900ms\"\n" };
    format!(
        "[admin]\naddress = \"127.0.0.1:{admin}\"\n\n[log]\nformat = \"json\"\n\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:{web}\"\n\n\
         [[route]]\nservice = \"shop\"\n{timeout}\n\
         [service.shop]\nendpoints = [{endpoints}]\n{careful}"
    )
}

fn careful(expect_body: bool) -> String {
    let expect = if expect_body { "expect_body = \"well\"\n" } else { "" };
    format!(
        "\n[service.shop.timeout]\nconnect = \"250ms\"\nattempt = \"600ms\"\n\n\
         [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\n\
         healthy_threshold = 2\nunhealthy_threshold = 2\n{expect}"
    )
}
