"""What each problem code means: a title and an explanation, for `policy explain-code`.

Codes are stable: a code is never given another meaning, and one that is no longer used stays free.
SW00x are errors of the library, SW10x-SW11x are about files, SW12x-SW13x about conditions (from the
language's own table), SW14x-SW17x about documents, SW18x advice on documents that hold, SW19x about
stored bundles.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .cel.problems import PROBLEM_CODES as CEL_CODES

__all__ = ["PROBLEM_CODES", "ProblemCode"]


class ProblemCode(NamedTuple):
    """One kind of problem: a short title, and what it is about and how to get rid of it."""

    title: str
    explanation: str


PROBLEM_CODES: Final[dict[str, ProblemCode]] = {
    # ------------------------------------------------------------------ errors
    "SW001": ProblemCode(
        "setting that makes no sense",
        "A setting, an option or a key file cannot be what it is; nothing was started. The message "
        "says what it may be.",
    ),
    "SW002": ProblemCode(
        "no policy",
        "A guard was asked to decide and has never had a policy. Publish and activate a bundle; "
        '`no_policy="fail_open"` lets events pass until there is one.',
    ),
    "SW003": ProblemCode(
        "store refuses",
        "A bundle store refused a change, or cannot be read. Its state is as it was.",
    ),
    "SW004": ProblemCode(
        "parked event",
        "A parked event cannot be selected, released or discarded. Nothing was written.",
    ),
    "SW005": ProblemCode(
        "not delivered",
        "The broker did not take what had to be written: see whether it can be reached, and what "
        "its topics and rights allow. `streamwarden doctor` looks at both.",
    ),
    "SW006": ProblemCode(
        "no reconciliation", "A reconciliation cannot start, or not go on; the message says why."
    ),
    "SW007": ProblemCode(
        "schema unavailable",
        "The schema of an event cannot be had now: nothing was decided, and nothing written. See to "
        "the registry, or set `schema_unavailable` to `undecodable`.",
    ),
    "SW008": ProblemCode(
        "decision log full",
        "The decision log has no room and must not lose an entry: nothing was decided or written. "
        "See to where it is written, or set `decision_log_unreachable` to `drop`, which counts "
        "what is lost.",
    ),
    "SW009": ProblemCode(
        "flood",
        "Most events were refused, and the guard has stopped: nothing was decided or written. "
        "Mend the policy or what sends the events, then activate another version or call "
        "`guard.reset_flood()`.",
    ),
    "SW010": ProblemCode(
        "batch stopped",
        "`produce_many()` raised at one event; its error is the cause. Those before it were taken "
        "and are in `taken`; see to it, and go on with those behind it.",
    ),
    "SW100": ProblemCode("policies cannot be loaded", "The problems listed below it say why."),
    # ------------------------------------------------------------------ files
    "SW101": ProblemCode(
        "cannot be read", "A directory or file is missing, or the process may not read it."
    ),
    "SW102": ProblemCode(
        "too large",
        "A document may have 1 MiB and a list 8 MiB: split documents; policies are told by their "
        "first key, not by their file.",
    ),
    "SW103": ProblemCode(
        "not UTF-8 text",
        "Documents are UTF-8. Control characters, and line separators that editors do not show, "
        'are written as escapes inside double quotes, such as "\\u2028".',
    ),
    "SW104": ProblemCode("not YAML", "The text does not follow YAML 1.2 from this place on."),
    "SW105": ProblemCode(
        "needs quotes",
        "An unquoted text may not start with a character that means something in YAML "
        "(! & * % @ ` { [ \" '), nor contain `: ` or ` #`. Put the whole text in single quotes "
        "and double each single quote inside it.",
    ),
    "SW106": ProblemCode(
        "cut short by a comment",
        "In an unquoted text ` #` starts a comment, so the rest of the line is not there. Quote "
        "the whole text.",
    ),
    "SW107": ProblemCode(
        "key given twice", "A key stands once in a mapping; YAML tools keep either one in silence."
    ),
    "SW108": ProblemCode(
        "anchor or alias",
        "Documents say what they mean in place: `&name`, `*name` and `<<` are not supported.",
    ),
    "SW109": ProblemCode(
        "tag", "`!tag` is not supported; a text that starts with `!` needs quotes."
    ),
    "SW110": ProblemCode(
        "several documents", "One file holds one document; `---` may only open it. No directives."
    ),
    "SW111": ProblemCode("tab", "YAML indents with spaces, never with tabs."),
    "SW112": ProblemCode(
        "nested too deeply or too many values",
        "A document may nest 64 levels and hold 100,000 values.",
    ),
    "SW113": ProblemCode(
        "not a JSON value",
        "Values are those of JSON: keys are text, numbers are finite, text is valid Unicode.",
    ),
    "SW114": ProblemCode(
        "not a document",
        "A document says by its first key what it is: `policy:`, `bundle:` or `tests:`.",
    ),
    "SW115": ProblemCode(
        "file that nothing names",
        "A .csv, .tsv or .json file counts only when `lists:` of the bundle document names it; "
        "left unsaid it would be missing without anybody noticing. Name it, or ignore it.",
    ),
    "SW116": ProblemCode("too many files", "A directory of policies may hold 10,000 files."),
    "SW117": ProblemCode(
        "no policies", "A bundle without a policy would let everything through; it is refused."
    ),
    "SW118": ProblemCode("more problems", "So many were found that the last ones are not shown."),
    "SW119": ProblemCode(
        "number with a leading zero",
        "To YAML `0123` without quotes is the number 123 (to older tools it is 83), and never equal "
        "to the text `0123`. Quote codes, `'0123'`, and write numbers without the zero.",
    ),
    # ------------------------------------------------------------- conditions
    **{code: ProblemCode(*entry) for code, entry in CEL_CODES.items()},
    # -------------------------------------------------------------- documents
    "SW140": ProblemCode("unknown key", "The document has a key that does not exist there."),
    "SW141": ProblemCode("missing key", "The document lacks a key that it needs."),
    "SW142": ProblemCode("wrong kind of value", "For example a list where a text belongs."),
    "SW143": ProblemCode("not one of the choices", "The key takes one of a few words."),
    "SW144": ProblemCode(
        "malformed name",
        "Names of policies, rules, bundles and lists take letters, digits and a few signs, since "
        "they stand in headers, metrics and paths.",
    ),
    "SW145": ProblemCode(
        "malformed topic", "Topics are Kafka names (letters, digits, `.`, `_`, `-`) or globs."
    ),
    "SW146": ProblemCode(
        "malformed date",
        "A date is `2026-03-01` (00:00 UTC) or a date and time with its zone, "
        "`2026-03-01T12:00:00Z`; an interval ends after it begins.",
    ),
    "SW147": ProblemCode(
        "malformed path",
        'A path is a variable and then names after dots, positions `[0]`, or `["odd-name"]`.',
    ),
    "SW148": ProblemCode(
        "mask that cannot be",
        "`mask:` belongs to a rule whose effect (or `on_error`) is mask, and names paths under "
        "`value`.",
    ),
    "SW149": ProblemCode(
        "rule without an effect",
        "A rule has either an `effect`, or `exempts` and then lifts other rules; never both.",
    ),
    "SW150": ProblemCode(
        "key without meaning here",
        "The key has no meaning beside what the rule says otherwise, and would mislead readers.",
    ),
    "SW151": ProblemCode(
        "malformed reason",
        "A reason takes paths in braces, `{value.amount}`; a literal brace is written twice.",
    ),
    "SW152": ProblemCode(
        "malformed structured condition",
        "A structured condition is `{field, operator, value}`; exists and missing take no value.",
    ),
    "SW153": ProblemCode("rule id given twice", "Rule ids are unique within a policy."),
    "SW154": ProblemCode("policy id given twice", "Policy ids are unique within a bundle."),
    "SW155": ProblemCode(
        "exemption from nothing", "`exempts` names a rule that is not there, or lifts nothing."
    ),
    "SW156": ProblemCode(
        "ambiguous exemption", "Several policies have a rule of that id: write `policy/rule`."
    ),
    "SW157": ProblemCode(
        "exemption that is not granted",
        "A rule is lifted by rules of its own policy, or of owners that its `exemptible_by` names.",
    ),
    "SW158": ProblemCode(
        "laxer than the bundle", "A policy may treat tombstones more strictly than its bundle."
    ),
    "SW159": ProblemCode(
        "contradictory bundle documents",
        "A directory has at most one bundle document. Of several directories each may have one, "
        "as long as they agree on what they both say.",
    ),
    "SW160": ProblemCode(
        "list that cannot be read", "The file of a list is not what it should be."
    ),
    "SW161": ProblemCode("list outside the directory", "Lists lie inside their own directory."),
    "SW164": ProblemCode(
        "malformed parking topic",
        "`quarantine` and `held` name a topic each, made of Kafka's characters and `{topic}`.",
    ),
    "SW165": ProblemCode("test of nothing", "A test names a policy or a rule that is not there."),
    "SW167": ProblemCode(
        "owner of nothing", "`exemptible_by` names an owner that has no policy in this bundle."
    ),
    "SW168": ProblemCode(
        "malformed ignore pattern", "`ignore` takes globs relative to the directory."
    ),
    "SW169": ProblemCode(
        "comment that looks like text",
        "In an unquoted text ` #` starts a comment: `see #42` is `see`.",
    ),
    "SW170": ProblemCode("unknown schema", "No schema of that subject is among those given."),
    "SW171": ProblemCode(
        "impossible mask",
        "Avro leaves no gaps: the field's type has to allow what a mask leaves. An enum can be redacted "
        "where it has null or a default: any other of its values would read like a true one.",
    ),
    "SW172": ProblemCode(
        "rule without a reason",
        "Whoever looks after a refused event reads the reason; without one the condition stands "
        "there. Say it in `reason:`, where `{value.amount}` fills in a field.",
    ),
    "SW173": ProblemCode(
        "rule without a severity",
        "Severities order what is refused, for those who have to look at it: add `severity:`, one "
        "of critical, high, medium, low and info.",
    ),
    "SW174": ProblemCode(
        "review overdue",
        "The day by which somebody wanted to look at the policy again (`review: {by: …}`) is past. "
        "It holds as before: look at it, and write the next day.",
    ),
    "SW175": ProblemCode(
        "policy that has ended",
        "The time until which the policy is in force (`effective: {until: …}`) is past: its rules "
        "are applied to nothing any more. Move that time, or remove the policy.",
    ),
    # ------------------------------------------------------------------ advice
    "SW180": ProblemCode(
        "shadowed rule",
        "Whenever the rule fires, another one does too whose effect is stronger, so that this one "
        "never decides. Narrow the other condition, or remove the rule.",
    ),
    "SW181": ProblemCode(
        "overlapping rules",
        "Whenever the rule fires, another one does too with the same effect and severity, so that "
        "this one changes no decision. Remove one of them.",
    ),
    "SW182": ProblemCode(
        "rule that never fires",
        "Parts of the condition exclude each other, or what is known of every event, which are the "
        "stages and topics of the policy; or one part is always false. Where a field is missing the condition fails, which still counts as "
        "fired unless `on_error` says otherwise.",
    ),
    "SW183": ProblemCode(
        "rule on what was masked",
        "The rule is also applied at consume, and reads there what a mask has left at produce: it "
        "may fire on `***`, or fail where the field is gone. Judge it at produce alone, with "
        "`stages: [produce]` in a policy of its own.",
    ),
    "SW184": ProblemCode(
        "exemption that lifts nothing",
        "The exemption and the rule that it names never fire on one event: their conditions "
        "exclude each other, or they have no topic, stage or time in common, or the rule is off. Or "
        "the exemption is in shadow mode, by itself, its policy or the bundle: it is recorded then, "
        "and what it would lift counts as ever.",
    ),
    "SW185": ProblemCode(
        "rule that a replay cannot judge",
        "`facts`, `client` and `stamp` come with the call and are not in the topic. A replay takes "
        "them as unknown, and reports an event as undecidable where its decision hangs on them. "
        "Carry what the rule needs in the event, or accept that.",
    ),
    "SW186": ProblemCode(
        "unanchored pattern",
        "`matches` finds a pattern anywhere in the text: `[0-9]{4}` also matches `x12345`. Write "
        "`^(?:…)$` for the whole text, or `.*` where any text may stand. `|` separates "
        "everything around it: `^a|b$` begins with a, or ends with b.",
    ),
    "SW187": ProblemCode(
        "topic that no policy covers",
        "The bundle document or `--topic` names a topic, and no policy does: `uncovered` decides "
        "what happens to its events.",
    ),
    "SW188": ProblemCode(
        "not everything was compared",
        "There are so many rules about the same thing that comparing all of them would take long; "
        "some rules that others make idle may not be told.",
    ),
    # ---------------------------------------------------------- stored bundles
    "SW189": ProblemCode(
        "mask that leaves a fact",
        "In Avro a value that must be there becomes the zero of its type: whoever reads 0, false or "
        "1970-01-01 cannot tell it from a true one. Let the field be null in the schema.",
    ),
    "SW190": ProblemCode(
        "newer than this streamwarden", "The bundle was built by a later version: upgrade."
    ),
    "SW191": ProblemCode(
        "digest does not match", "The bundle was changed after it was built, or damaged."
    ),
    "SW192": ProblemCode("not a stored bundle", "The bytes are torn, or something else."),
    "SW193": ProblemCode(
        "changed meanwhile", "Somebody else published or activated first: look, and try again."
    ),
    "SW194": ProblemCode("no such bundle", "The store has no bundle of that number or digest."),
    "SW195": ProblemCode("ambiguous", "A name or the start of a digest fits more than one."),
    "SW196": ProblemCode(
        "store that does not answer",
        "The bundle store cannot be reached, lets nobody in or takes too long. A running guard "
        "keeps its last good policy.",
    ),
    "SW197": ProblemCode(
        "older than what is known",
        "The store's activation is older than one seen before: it lost its data, or is another "
        "store. Restore it, or activate again until the epoch is above the known one.",
    ),
    "SW198": ProblemCode(
        "policy too old",
        "The store has been unreachable for longer than `stale_after_s`, and `source_unreachable` "
        "says stop: the guard decides again as soon as the store answers.",
    ),
}
