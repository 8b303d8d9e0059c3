// Shows the OpenAPI document, which bin/docs writes into document.js: a page that was opened as a file may load scripts, but not JSON.
"use strict";

const shown = document.getElementById("openapi");
document.querySelector(".md-content").append(shown); // out of the reach of the theme's rules for text
document.documentElement.classList.toggle("dark-mode", matchMedia("(prefers-color-scheme: dark)").matches);
SwaggerUIBundle({
  domNode: shown,
  spec: openapiDocument,
  deepLinking: true,
  supportedSubmitMethods: [], // files have no server to call
  validatorUrl: "none",
});
