// Runs single states with mocked results, as `TestState` of AWS Step Functions does, and prints what came of each.
//
// Standard input: { machines: [definition], tests: [{ machine, state, input, variables, context, result, error, retries }] },
// where `machine` is a place in the first list, `result` or `error` ({ Error, Cause }) is what the called service answers,
// and `retries` counts the retries so far. Standard output: a list with one object a test:
//   status     SUCCEEDED, CAUGHT_ERROR, RETRIABLE or FAILED
//   by         what decided: "Next", "Choices/0", "Default", "Catch/0", "Retry/0"
//   next, output, seconds, arguments, assigned, error
//
// JSONata is 2.0.6, the version that AWS documents, in its reference implementation.

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");

const jsonata = require("jsonata");

const QUERY_ERROR = "States.QueryEvaluationError";

class StateError extends Error {
  constructor(name, cause) {
    super(cause);
    this.error = name;
  }
}

// Of the functions that AWS adds, those that give the same for the same. No expression may use the others.
const ALGORITHMS = { "MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" };
const FUNCTIONS = {
  parse: (text) => JSON.parse(text),
  hash: (text, algorithm) => createHash(ALGORITHMS[algorithm]).update(text).digest("hex"),
};

const compiled = new Map();

function compile(expression) {
  if (!compiled.has(expression)) {
    const program = jsonata(expression);
    Object.entries(FUNCTIONS).forEach(([name, implementation]) => program.registerFunction(name, implementation));
    // AWS has no `$eval`.
    program.assign("eval", undefined);
    compiled.set(expression, program);
  }
  return compiled.get(expression);
}

async function evaluate(expression, { variables, states }) {
  let value;
  try {
    value = await compile(expression).evaluate(undefined, { ...variables, states });
  } catch (error) {
    throw new StateError(QUERY_ERROR, `${expression}: ${error.code ?? error.name} ${error.message}`);
  }
  if (value === undefined || typeof value === "function") {
    throw new StateError(QUERY_ERROR, `${expression} returned nothing`);
  }
  // A sequence of JSONata becomes an array.
  return JSON.parse(JSON.stringify(value));
}

async function fill(template, scope) {
  if (typeof template === "string") {
    const expression = /^\{%([^]*)%\}$/.exec(template);
    return expression ? evaluate(expression[1], scope) : template;
  }
  if (Array.isArray(template)) {
    return Promise.all(template.map((item) => fill(item, scope)));
  }
  if (template !== null && typeof template === "object") {
    const filled = Object.entries(template).map(async ([name, value]) => [name, await fill(value, scope)]);
    return Object.fromEntries(await Promise.all(filled));
  }
  return template;
}

// Every expression of one `Assign` sees the variables as they were before it.
async function leave(through, next, by, scope, fallback) {
  const output = "Output" in through ? await fill(through.Output, scope) : fallback;
  const assigned = await fill(through.Assign ?? {}, scope);
  return { status: "SUCCEEDED", by, next, output, assigned };
}

async function choose(state, scope) {
  for (const [index, rule] of state.Choices.entries()) {
    const holds = await fill(rule.Condition, scope);
    if (typeof holds !== "boolean") {
      throw new StateError(QUERY_ERROR, `${rule.Condition} is not true or false, but ${JSON.stringify(holds)}`);
    }
    if (holds) {
      return leave(rule, rule.Next, `Choices/${index}`, scope, scope.states.input);
    }
  }
  if (state.Default === undefined) {
    throw new StateError("States.NoChoiceMatched", "no rule holds");
  }
  // The `Assign` of the state itself is that of its default.
  return leave(state, state.Default, "Default", scope, scope.states.input);
}

async function wait(state, scope) {
  const seconds = await fill(state.Seconds, scope);
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > 99_999_999) {
    throw new StateError(QUERY_ERROR, `Seconds is ${JSON.stringify(seconds)}`);
  }
  return { ...await leave(state, state.Next, "Next", scope, scope.states.input), seconds };
}

const matches = ({ ErrorEquals }, error) =>
  ErrorEquals.includes(error) || ErrorEquals.includes("States.ALL") ||
  (ErrorEquals.includes("States.TaskFailed") && error !== "States.Timeout");

async function call(state, test, scope) {
  const told = {};
  let error;
  try {
    told.arguments = await fill(state.Arguments, scope);
    if (test.error === undefined) {
      const states = { ...scope.states, result: test.result };
      return { ...told, ...await leave(state, state.Next, "Next", { ...scope, states }, test.result) };
    }
    error = test.error;
  } catch (thrown) {
    if (!(thrown instanceof StateError)) {
      throw thrown;
    }
    error = { Error: thrown.error, Cause: thrown.message };
  }
  // The first retrier that matches decides; once its attempts are used up, a catcher may.
  const retry = (state.Retry ?? []).findIndex((retrier) => matches(retrier, error.Error));
  if (retry >= 0 && test.retries < (state.Retry[retry].MaxAttempts ?? 3)) {
    return { ...told, status: "RETRIABLE", by: `Retry/${retry}`, error: error.Error };
  }
  const caught = (state.Catch ?? []).findIndex((catcher) => matches(catcher, error.Error));
  if (caught < 0) {
    return { ...told, status: "FAILED", error: error.Error };
  }
  const catcher = state.Catch[caught];
  const states = { ...scope.states, errorOutput: error };
  const left = await leave(catcher, catcher.Next, `Catch/${caught}`, { ...scope, states }, error);
  return { ...told, ...left, status: "CAUGHT_ERROR", error: error.Error };
}

const KINDS = {
  Choice: choose,
  Pass: (state, scope) => leave(state, state.Next, "Next", scope, scope.states.input),
  Succeed: (state, scope) => leave(state, undefined, "End", scope, scope.states.input),
  Task: (state, scope, test) => call(state, test, scope),
  Wait: wait,
};

async function run(machines, test) {
  const state = machines[test.machine].States[test.state];
  const scope = { variables: test.variables, states: { input: test.input, context: test.context } };
  try {
    return await KINDS[state.Type](state, scope, test);
  } catch (error) {
    if (error instanceof StateError) {
      return { status: "FAILED", error: error.error, cause: error.message };
    }
    throw error;
  }
}

const { machines, tests } = JSON.parse(readFileSync(0, "utf8"));
Promise.all(tests.map((test) => run(machines, test))).then((all) => console.log(JSON.stringify(all)));
