// Prints what two validators of the Amazon States Language find in the definitions on standard input, a list: for each, a list
// of findings. `amazon-states-language-service` is AWS's own, which its editors use; it knows every field of the language.
// `asl-validator` knows which fields JSONPath alone has, and compiles every JSONata expression.

const { readFileSync } = require("node:fs");

const { getLanguageService } = require("amazon-states-language-service");
const validate = require("asl-validator");
const { TextDocument } = require("vscode-languageserver-textdocument");

const service = getLanguageService({});

async function findings(definition) {
  // Indented, so that a line names the place.
  const text = JSON.stringify(definition, null, 2);
  const document = TextDocument.create("file:///definition.asl.json", "asl", 1, text);
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  const lines = text.split("\n");
  const found = diagnostics.map(({ message, range }) =>
    `amazon-states-language-service: ${message} At ${lines[range.start.line].trim()}`);
  const { isValid, errorsText } = validate(definition, { checkPaths: true, checkArn: true });
  if (!isValid) {
    found.push(...errorsText("\n").split("\n").map((line) => `asl-validator: ${line}`));
  }
  return found;
}

Promise.all(JSON.parse(readFileSync(0, "utf8")).map(findings)).then((all) => console.log(JSON.stringify(all)));
