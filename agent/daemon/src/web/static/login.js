// Sends the password; the answer's cookie is out of reach of scripts.

const form = document.getElementById('login');
const trouble = document.getElementById('trouble');
const button = form.querySelector('button');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  trouble.hidden = true;
  button.disabled = true;
  try {
    const response = await fetch('/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ password: form.password.value }),
    });
    if (response.ok) {
      location.replace('/');
      return;
    }
    const { error } = await response.json();
    const wait = response.headers.get('retry-after');
    say(wait ? `${error} (${wait} s)` : error);
  } catch {
    say('the box does not answer');
  }
  button.disabled = false;
  form.password.select();
});

function say(words) {
  trouble.textContent = words[0].toUpperCase() + words.slice(1);
  trouble.hidden = false;
}
