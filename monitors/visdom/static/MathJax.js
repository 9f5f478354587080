/* Visdom's page stays offline when its server has been away: this presses its button until it is back. */
setInterval(() => {
  [...document.querySelectorAll("button")].find((button) => button.textContent.trim() === "offline")?.click();
}, 3000);
