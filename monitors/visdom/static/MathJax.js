/* Visdom's page stays offline when its server has been away: this presses its button until it is back. */
setInterval(function () {
  var buttons = Array.prototype.slice.call(document.querySelectorAll("button"));
  var offline = buttons.filter(function (button) { return button.textContent.trim() === "offline"; })[0];
  if (offline) offline.click();
}, 3000);
