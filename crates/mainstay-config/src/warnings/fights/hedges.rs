//! Hedges that are never made, or that nothing holds back.

use mainstay_core::{Duration, MethodClass};
use mainstay_policy::{HedgeAfter, HedgeSettings};

use super::{Look, Rule, text};
use crate::model::Endpoints;

impl<'a> Look<'a> {
    pub(super) fn hedges_go_wrong(&self) {
        self.hedges_find_nobody_else();
        self.hedges_are_for_no_call();
        self.hedges_are_more_than_attempts();
        self.hedges_come_after_their_attempt();
        self.hedges_have_no_budget();
    }

    fn hedges_find_nobody_else(&self) {
        let Endpoints::Fixed(endpoints) = &self.service.endpoints else { return };
        if let (Some((rule, hedge)), [_]) = (self.hedged().next(), &endpoints[..]) {
            let said = self.said_of(&rule, &["hedge"], &word(hedge));
            self.notes.fight(
                "no hedge is ever made: it goes to an endpoint that was not tried, and there is only one",
                &[&said, &self.said(&["endpoints"], &"")],
                (&said, "\"off\""),
            );
        }
    }

    fn hedges_are_for_no_call(&self) {
        let twice = |rule: &Rule<'_>| !rule.retry.idempotent_only || rule.retry.idempotency_key || rule.may_repeat();
        // The service's own rule is of use if it is to one of its routes.
        let of_service = self.rules().any(|rule| !rule.of_route && twice(&rule));
        let idle = |rule: &Rule<'_>| !twice(rule) && (rule.of_route || !of_service);
        if let Some((rule, hedge)) = self.hedged().find(|(rule, _)| idle(rule)) {
            let said = self.said_of(&rule, &["hedge"], &word(hedge));
            let methods = self.notes.said(&["route", &rule.number.to_string(), "method"], "");
            self.notes.fight(
                "no hedge is ever made: none of the route's methods may be sent twice",
                &[&said, &methods],
                (&said, "\"off\""),
            );
        }
    }

    fn hedges_are_more_than_attempts(&self) {
        let too_many = |(rule, hedge): &(Rule<'_>, HedgeSettings)| (2..=hedge.max).contains(&rule.retry.attempts);
        if let Some((rule, hedge)) = self.hedged().find(too_many) {
            let attempts = self.said_of(&rule, &["attempts"], &rule.retry.attempts);
            self.notes.fight(
                "not all hedges can be made: each counts as an attempt, and so does the first",
                &[&self.said_of(&rule, &["hedge", "max"], &hedge.max), &attempts],
                (&attempts, hedge.max + 1),
            );
        }
    }

    fn hedges_come_after_their_attempt(&self) {
        let attempt = self.service.policy.timeout.attempt;
        let too_late = |rule: &Rule<'_>, after: Duration| after >= attempt.min(rule.route.timeout);
        if let Some((rule, after)) = self.fixed().find(|(rule, after)| too_late(rule, *after)) {
            let said = self.said_of(&rule, &["hedge", "after"], &text(after));
            let ends = match attempt < rule.route.timeout {
                true => self.said(&["timeout", "attempt"], &text(attempt)),
                false => self.timeout(rule.number, rule.route),
            };
            let what = "no hedge is ever made for a slow attempt: its time is over before the hedge is due";
            self.notes.fight(what, &[&said, &ends], (&said, "\"p95\""));
        }
    }

    /// A percentile follows the service when all of it becomes slow, and a fixed time does not.
    fn hedges_have_no_budget(&self) {
        if let Some((rule, after)) = self.fixed().find(|(rule, _)| rule.retry.budget.is_none()) {
            let said = self.said_of(&rule, &["hedge", "after"], &text(after));
            self.notes.fight(
                "once the service is slower than that, every call is sent twice: nothing holds hedges back",
                &[&said, &self.said_of(&rule, &["budget"], &"\"off\"")],
                (&said, "\"p95\""),
            );
        }
    }

    fn hedged(&self) -> impl Iterator<Item = (Rule<'a>, HedgeSettings)> {
        self.rules().filter_map(|rule| {
            let hedge = rule.retry.hedge.filter(|_| rule.retry.attempts > 1)?;
            Some((rule, hedge))
        })
    }

    /// Those that are due after a time that stands fast.
    fn fixed(&self) -> impl Iterator<Item = (Rule<'a>, Duration)> {
        self.hedged().filter_map(|(rule, hedge)| match hedge.after {
            HedgeAfter::Fixed(after) => Some((rule, after)),
            HedgeAfter::Percentile(_) => None,
        })
    }
}

impl Rule<'_> {
    /// Whether one of the route's methods is the same twice as once.
    fn may_repeat(&self) -> bool {
        let methods = &self.route.methods;
        methods.is_empty() || methods.iter().any(|method| MethodClass::of(method.as_bytes()).is_idempotent())
    }
}

fn word(hedge: HedgeSettings) -> String {
    format!("{{ max = {} }}", hedge.max)
}
