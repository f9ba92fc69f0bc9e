//! The codes of this crate. A code is never reused for something else.

use backstay_model::Code;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: Code = Code($code);)*

        /// Every code of this crate with what it means, in order.
        pub const TABLE: &[(Code, &str)] = &[$(($name, $meaning),)*];
    };
}

codes! {
    YAML = "BKS-W001", "the file is not YAML";
    NOT_A_WORKFLOW = "BKS-W002", "the file lacks `backstay: 1`, or is of another version of the syntax";
    UNKNOWN_KEY = "BKS-W003", "a key that the language does not know";
    DUPLICATE_KEY = "BKS-W004", "a key that stands twice in one mapping";
    WRONG_TYPE = "BKS-W005", "a value of the wrong type";
    MISSING_KEY = "BKS-W006", "a key that is required is missing";
    WRONG_VALUE = "BKS-W007", "a value that is none of those allowed";
    NOT_SUPPORTED = "BKS-W008", "a part of the language that this version does not support yet";
    CONFLICTING_KEYS = "BKS-W009", "keys that exclude each other";
    INVALID_DURATION = "BKS-W010", "a duration without a unit, or none at all";
    INVALID_EXIT_CODES = "BKS-W011", "exit codes that are not codes or ranges from 0 to 255";
    PROMPT_FILE = "BKS-W012", "a prompt file that can not be read";
    TOO_MANY_STEPS = "BKS-W013", "more steps than one workflow may have";
    CUT_AT_HASH = "BKS-W014", "YAML takes the rest of a line as a comment";
    TAG = "BKS-W015", "YAML takes `!` as a tag";
    NOT_A_STRING = "BKS-W016", "YAML takes a text as a number, a boolean or nothing";
    FLOW_COMMA = "BKS-W017", "YAML takes a comma inside `{}` as the end of a value";
    RESERVED_START = "BKS-W018", "YAML gives the first character of a value a meaning of its own";
    COLON_IN_PLAIN = "BKS-W019", "YAML takes `: ` inside a text as a key";
    TAB = "BKS-W020", "YAML does not allow a tab as indentation";
    ALIAS = "BKS-W021", "an alias without its anchor, or a merge key";
    NO_VERB = "BKS-W030", "a step without a verb";
    TWO_VERBS = "BKS-W031", "a step with more than one verb";
    INVALID_ID = "BKS-W032", "a name that can not be an id";
    DUPLICATE_ID = "BKS-W033", "an id that another step has";
    UNKNOWN_NEED = "BKS-W034", "`needs` names a step that is not in the same list";
    CYCLE = "BKS-W035", "steps that wait for each other";
    UNKNOWN_AGENT = "BKS-W036", "an agent that is not defined";
    ORDER = "BKS-W037", "an expression reads a step that may not have ended by then";
    SCHEMA = "BKS-W038", "a schema that can not be read, or is none";
    ACCESS = "BKS-W039", "a way of working that the agent does not have";
    LOOP_FAILS = "BKS-W040", "a loop that fails at the first failure of what it waits for";
    PROMPT_NAMES_FILE = "BKS-W041", "a prompt names a file whose content the agent's program adds";
    READING = "BKS-W042", "what is said of the output of an agent's command can not be used";
    EXPRESSION = "BKS-W050", "an expression that can not be read";
    FOREIGN_OPERATOR = "BKS-W051", "an operator of another language";
    UNKNOWN_NAME = "BKS-W052", "a name that nothing defines";
    COMPARED_TYPES = "BKS-W053", "a comparison of values of different types, which is never true";
    WRAPPED_EXPRESSION = "BKS-W054", "a bare expression is not wrapped in `${{ }}`";
    BLOCK_NOT_ALLOWED = "BKS-W055", "`${% %}` outside of a prompt";
    UNKNOWN_STATUS = "BKS-W056", "a comparison with a status that no step has";
    SINGLE_QUOTED = "BKS-W060", "`${{ }}` where the shell replaces nothing";
    EVALUATED_AGAIN = "BKS-W061", "a place of a script that may evaluate what a value says";
    SCRIPT_INPUT = "BKS-W062", "an input of type `script` that is not the whole `run`";
    UNSAFE_POSITION = "BKS-W063", "`${{ }}` at a place of a script where no value can stand";
    VALUE_AS_CODE = "BKS-W064", "`${{ }}` where the value would run as code, be evaluated, or name a variable";
    NOT_BOOLEAN = "BKS-W100", "a condition that is neither true nor false";
    UNDEFINED = "BKS-W101", "a value that is not defined";
    NOTHING_PRINTED = "BKS-W102", "`none` where a text is needed";
    OUT_OF_FUEL = "BKS-W103", "an expression that takes too long";
    EVALUATION = "BKS-W104", "an expression that can not be evaluated";
    NUL_IN_VARIABLE = "BKS-W105", "a value with a zero byte, which no variable can hold";
    WRONG_KIND = "BKS-W106", "a value that a script needs as a number, or as true or false, and that is something else";
    LARGE_VALUE = "BKS-W107", "a value of a script that is larger than a variable can be";
    EMPTY_PROMPT = "BKS-W108", "a prompt that its values leave empty";
    UNKNOWN_INPUT = "BKS-W110", "an input that the workflow does not declare";
    MISSING_INPUT = "BKS-W111", "an input that is required and was not given";
    INPUT_TYPE = "BKS-W112", "an input of the wrong type";
    NUL_IN_INPUT = "BKS-W113", "an input with a zero byte";
}
